//! The section `agent`: who an agent of a fleet is.

use conf::Check;
use core_model::{Labels, MOST_LABELS, Period, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who this agent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AgentSettings {
    /// Its name, unique at one controller [default: `${HOSTNAME}-` and the product's name].
    pub id: Option<String>,
    /// How often it says that it is alive.
    pub heartbeat_interval: Period,
    /// Where it is, such as `fra1`: agents are listed and sent commands by it.
    pub site: Option<Site>,
    /// What else it is, such as `tier: web`: agents are listed and sent commands by it.
    pub labels: Labels,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            id: None,
            heartbeat_interval: Period::from_secs(60),
            site: None,
            labels: Labels::new(),
        }
    }
}

impl AgentSettings {
    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        if let Some(id) = &self.id
            && (id.trim().is_empty() || id.chars().any(char::is_control))
        {
            let help = Some("leave the key out, and it is made from the machine's name");
            check.problem(&format!("{at}.id"), "is empty or holds control characters", help);
        }
        if self.labels.len() > MOST_LABELS {
            check.problem(&format!("{at}.labels"), format!("are more than {MOST_LABELS}"), None);
        }
    }

    /// Tells what needs a restart from what does not.
    pub fn split(self) -> (AgentBoot, AgentLive) {
        let Self {
            id,
            heartbeat_interval,
            site,
            labels,
        } = self;
        let live = AgentLive {
            heartbeat_interval,
            site,
            labels,
        };
        (AgentBoot { id }, live)
    }
}

/// What of [`AgentSettings`] takes effect at the next start: the name is that of credentials and of metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentBoot {
    /// The configured name.
    pub id: Option<String>,
}

impl AgentBoot {
    /// The configured name, or the one made from the machine's and the product's.
    pub fn name(&self, hostname: &str, product: &str) -> String {
        self.id.clone().unwrap_or_else(|| format!("{hostname}-{product}"))
    }
}

/// What of [`AgentSettings`] takes effect at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentLive {
    /// How often it says that it is alive.
    pub heartbeat_interval: Period,
    /// Where it is.
    pub site: Option<Site>,
    /// What else it is.
    pub labels: Labels,
}
