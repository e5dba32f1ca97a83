//! Where and on what an agent runs.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where and on what an agent runs, as it tells. Text that is no site or label is left out by the controller, not refused:
/// a later agent may allow more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// `agent.site` of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// `agent.labels` of its configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The operating system by name and version, such as `Debian GNU/Linux 12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The kernel's version, such as `6.1.0-18-amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The processor's architecture, such as `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Container engines that run on the machine, such as `docker`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_engines: Vec<String>,
}
