//! Which agents are meant, by what they are: for lists, for groups, and for commands.
use crate::agent::AgentRecord;
use chrono::{DateTime, Utc};
use core_model::{LabelMatch, Site};
use serde::{Deserialize, Serialize};

/// Agents by what they are; all of what is set has to fit.
///
/// ```
/// use fleet_core::AgentSelector;
/// let web = AgentSelector { labels: vec!["tier=web".parse().unwrap()], ..AgentSelector::default() };
/// assert_eq!(serde_json::to_string(&web).unwrap(), r#"{"labels":["tier=web"]}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSelector {
    /// Of this product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// At this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// With each of these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelMatch>,
    /// That can do this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// On a machine with this container engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_engine: Option<String>,
}

impl AgentSelector {
    /// Whether it leaves nobody out.
    pub fn is_everybody(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the agent is meant.
    pub fn fits(&self, agent: &AgentRecord) -> bool {
        let labels = agent.labels();
        let among = |wanted: &Option<String>, there: &[String]| {
            wanted
                .as_ref()
                .is_none_or(|wanted| there.iter().any(|one| one == wanted))
        };
        self.kind.as_ref().is_none_or(|kind| *kind == agent.kind)
            && self.site.as_ref().is_none_or(|site| Some(site) == agent.site())
            && self.labels.iter().all(|wanted| wanted.fits(&labels))
            && among(&self.capability, &agent.registration.capabilities)
            && among(&self.container_engine, &agent.profile.container_engines)
    }
}

/// A name for agents that are meant together. Who belongs to it is found out each time it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who belongs to it.
    pub selector: AgentSelector,
    /// What there is to say about it.
    pub comment: String,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
    /// The user who did.
    pub changed_by: String,
}
