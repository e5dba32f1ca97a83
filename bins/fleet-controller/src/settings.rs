//! What can be configured, and what is wrong with it.
use conf::{Check, Settings};
use core_model::{ByteSize, Period};
use daemon_kit::LoggingSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// The controller's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ControllerConfig {
    /// Where it listens.
    pub(crate) server: ListenSettings,
    /// Where its data lie.
    pub(crate) store: StoreSettings,
    /// Agents.
    pub(crate) agents: AgentsSettings,
    /// Operators.
    pub(crate) auth: AuthSettings,
    /// What is logged, and where.
    pub(crate) logging: LoggingSettings,
}

/// Where the controller listens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ListenSettings {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Listen off loopback although there is no TLS: keys then cross the network readable.
    pub(crate) allow_http: bool,
    /// The largest request body, after decompression.
    pub(crate) max_body: ByteSize,
    /// The most connections at one time.
    pub(crate) max_connections: u32,
    /// How long a request may take.
    pub(crate) request_timeout: Period,
    /// How long requests in flight may finish at shutdown.
    pub(crate) shutdown_grace: Period,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7600)),
            allow_http: false,
            max_body: ByteSize::new(16 << 20),
            max_connections: 10_000,
            request_timeout: Period::from_secs(60),
            shutdown_grace: Period::from_secs(10),
        }
    }
}

/// Where the controller's data lie.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct StoreSettings {
    /// The database file [default: fleet.db in the data directory].
    pub(crate) path: Option<PathBuf>,
}

/// Agents.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AgentsSettings {
    /// An agent not heard of for so long is offline.
    pub(crate) offline_after: Period,
}

impl Default for AgentsSettings {
    fn default() -> Self {
        Self {
            offline_after: Period::from_secs(180),
        }
    }
}

/// Operators.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AuthSettings {
    /// How long a sign-in lasts.
    pub(crate) session: Period,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            session: Period::from_secs(12 * 3600),
        }
    }
}

impl Settings for ControllerConfig {
    fn check(&self, check: &mut Check<'_>) {
        self.logging.check("logging", check);
        let server = &self.server;
        if !server.listen.ip().is_loopback() && !server.allow_http {
            check.problem(
                "server.listen",
                format!(
                    "{} is reachable from other machines, and this version serves no TLS",
                    server.listen
                ),
                Some("listen on 127.0.0.1 behind a proxy that terminates TLS, or write `server.allow_http = true`"),
            );
        }
        if server.max_body.bytes() < 1 << 20 {
            check.problem(
                "server.max_body",
                "must be at least 1MB, or batches of agents do not fit",
                None,
            );
        }
        if server.max_connections == 0 {
            check.problem("server.max_connections", "must be at least 1", None);
        }
        for (key, period) in [
            ("server.request_timeout", server.request_timeout),
            ("agents.offline_after", self.agents.offline_after),
            ("auth.session", self.auth.session),
        ] {
            if period.get().is_zero() {
                check.problem(key, "must be longer than zero", None);
            }
        }
    }
}

/// Short names of variables, and the keys they stand for.
pub(crate) const SHORT_NAMES: &[(&str, &str)] =
    &[("FLEET_LOG_LEVEL", "logging.level"), ("FLEET_LISTEN", "server.listen")];

/// Variables with the prefix that are no keys.
pub(crate) const OTHER_NAMES: &[&str] = &["FLEET_SERVER", "FLEET_TOKEN_FILE"];
