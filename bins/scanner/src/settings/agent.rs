//! The `agent` section.
use conf::Check;
use core_model::{Labels, MOST_LABELS, Period, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who this agent is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AgentSettings {
    /// Its name, unique at one controller [default: `${HOSTNAME}-scanner`].
    pub(crate) id: Option<String>,
    /// How often it says that it is alive.
    pub(crate) heartbeat_interval: Period,
    /// Where it is, such as `fra1`: agents are listed and sent commands by it.
    pub(crate) site: Option<Site>,
    /// What else it is, such as `tier: web`: agents are listed and sent commands by it.
    pub(crate) labels: Labels,
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
    pub(crate) fn check(&self, check: &mut Check<'_>) {
        if let Some(id) = &self.id
            && (id.trim().is_empty() || id.chars().any(char::is_control))
        {
            let help = Some("leave the key out, and it is made from the machine's name");
            check.problem("agent.id", "is empty or holds control characters", help);
        }
        if self.labels.len() > MOST_LABELS {
            check.problem("agent.labels", format!("are more than {MOST_LABELS}"), None);
        }
    }

    /// The configured name, or the one made from the machine's.
    pub(crate) fn name(&self, hostname: &str) -> String {
        agent_name(self.id.as_deref(), hostname)
    }
}

/// The configured name, or the one made from the machine's.
pub(crate) fn agent_name(id: Option<&str>, hostname: &str) -> String {
    id.map_or_else(|| format!("{hostname}-scanner"), str::to_owned)
}
