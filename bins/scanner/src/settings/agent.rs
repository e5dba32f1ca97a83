//! The `agent` section.
use conf::Check;
use core_model::Period;
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
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            id: None,
            heartbeat_interval: Period::from_secs(60),
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
