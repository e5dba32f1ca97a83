//! Where and on what an agent runs: what it tells itself, and what operators say over that.
use chrono::{DateTime, Utc};
use core_model::{Labels, MOST_LABELS, Site};
use fleet_wire::Profile;
use serde::{Deserialize, Serialize};

/// Texts of a profile that are kept: the operating system's name may be long, and no agent shall fill the store by it.
const LONGEST_TEXT: usize = 255;
/// Container engines that are kept.
const MOST_ENGINES: usize = 16;

/// Where and on what an agent runs, as it last told, without what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    /// `agent.site` of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// `agent.labels` of its configuration.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The operating system by name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The kernel's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The processor's architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Container engines that run on the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_engines: Vec<String>,
}

impl From<Profile> for AgentProfile {
    /// Leaves out what is no site, label or plain text: a heartbeat is worth more than a label of it.
    fn from(told: Profile) -> Self {
        let labels = told.labels.iter().filter_map(|(key, value)| {
            let label = (key.parse().ok()?, value.parse().ok()?);
            Some(label)
        });
        let engines = told.container_engines.into_iter().filter_map(plain);
        Self {
            site: told.site.and_then(|site| site.parse().ok()),
            labels: labels.take(MOST_LABELS).collect(),
            os: told.os.and_then(plain),
            kernel: told.kernel.and_then(plain),
            architecture: told.architecture.and_then(plain),
            container_engines: engines.take(MOST_ENGINES).collect(),
        }
    }
}

fn plain(text: String) -> Option<String> {
    let is_plain = !text.is_empty() && text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control);
    is_plain.then_some(text)
}

/// What operators say of an agent; it goes before what the agent says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Its site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Labels, beside and before its own.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Somebody works on the host: what the agent does or leaves undone meanwhile is no cause for alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// When it was said to begin.
    pub since: DateTime<Utc>,
    /// When it ends by itself; until somebody ends it where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// What is done there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The user who said it.
    pub by: String,
}

impl Maintenance {
    /// Whether it lasts at `now`.
    pub fn lasts(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What an operator changes about an agent. What is not set stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Another name.
    pub name: Option<String>,
    /// A site, or none but what the agent says itself.
    pub site: Option<Option<Site>>,
    /// Labels to set, and those to take back.
    pub labels: Vec<(core_model::LabelKey, Option<core_model::LabelValue>)>,
    /// Maintenance, or its end.
    pub maintenance: Option<Option<Maintenance>>,
}

/// Why an agent was not amended. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmendRefusal {
    /// There is no such agent.
    NoAgent,
    /// Another agent has the name.
    NameTaken,
    /// It would bear more than [`MOST_LABELS`].
    TooManyLabels,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_left_out_and_the_rest_is_kept() {
        let told = Profile {
            site: Some("two words".to_owned()),
            labels: [("tier", "web"), ("bad key", "x"), ("env", "a\nb")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            os: Some("Debian GNU/Linux 12".to_owned()),
            kernel: Some("x".repeat(256)),
            architecture: Some(String::new()),
            container_engines: vec!["docker".to_owned(), "pod\u{7}man".to_owned()],
        };
        let kept = AgentProfile::from(told);
        assert_eq!((kept.site, kept.labels.len()), (None, 1));
        assert_eq!(kept.os.as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!((kept.kernel, kept.architecture), (None, None));
        assert_eq!(kept.container_engines, ["docker"]);
    }

    #[test]
    fn maintenance_ends_by_itself_where_it_is_said_when() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut maintenance = Maintenance {
            since: at(0),
            until: Some(at(10)),
            reason: String::new(),
            by: "admin".to_owned(),
        };
        assert!(maintenance.lasts(at(9)) && !maintenance.lasts(at(10)));
        maintenance.until = None;
        assert!(maintenance.lasts(at(i64::from(u32::MAX))));
    }
}
