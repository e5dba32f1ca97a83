//! The `agent` section.
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
    /// The configured name, or the one made from the machine's.
    pub(crate) fn name(&self, hostname: &str) -> String {
        self.id.clone().unwrap_or_else(|| format!("{hostname}-scanner"))
    }
}
