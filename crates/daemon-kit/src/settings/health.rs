//! The section `health`.

use conf::Check;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where the process tells how it is: `/health`, `/health/live`, `/health/ready` and `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HealthSettings {
    /// Whether to serve health and metrics over HTTP.
    pub enabled: bool,
    /// The address to listen on. Health and metrics are readable by whoever reaches it, so it is loopback by default;
    /// `0.0.0.0` is for probes from outside, as Kubernetes makes them.
    pub address: IpAddr,
    /// The port to listen on. Without it, the product's own: reef 7601, smotra 7602, driftless 7603, scanner 7604.
    pub port: Option<u16>,
    /// The path of the health report. `live` and `ready` lie below it.
    pub path: String,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            path: "/health".to_owned(),
        }
    }
}

impl HealthSettings {
    /// Where to listen; `product_port` is the product's own port. `None` when it is off.
    pub fn listen(&self, product_port: u16) -> Option<SocketAddr> {
        let address = SocketAddr::new(self.address, self.port.unwrap_or(product_port));
        self.enabled.then_some(address)
    }

    /// Reports what cannot be served. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        let is_path = self.path.starts_with('/') && self.path.len() > 1 && self.path.chars().all(is_plain);
        if !is_path || self.path.ends_with('/') || self.path.contains("//") {
            let help = Some("write it as `/health`");
            check.problem(&format!("{at}.path"), "is no path of a URL without its server", help);
        } else if self.path == "/metrics" {
            check.problem(
                &format!("{at}.path"),
                "is the path of the metrics",
                Some("write another, such as `/health`"),
            );
        }
    }
}
