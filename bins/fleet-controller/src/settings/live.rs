//! What of the configuration takes effect at the next start, and what at once.
use super::{AgentsSettings, AuthSettings, ControllerConfig, RetentionSettings, TlsSettings};
use core_model::{ByteSize, Period};
use daemon_kit::{BackupSettings, DatabaseBoot, LoggingBoot, LoggingLive, live::Reload, telemetry::TelemetrySettings};
use serde::Serialize;
use std::net::SocketAddr;

/// What takes effect at the next start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Boot {
    pub(crate) server: ListenBoot,
    pub(crate) tls: TlsSettings,
    pub(crate) store: DatabaseBoot,
    pub(crate) logging: LoggingBoot,
    pub(crate) telemetry: TelemetrySettings,
}

/// The server is bound, and its limits set, once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ListenBoot {
    pub(crate) listen: SocketAddr,
    pub(crate) allow_http: bool,
    pub(crate) max_body: ByteSize,
    pub(crate) max_connections: u32,
    pub(crate) request_timeout: Period,
    pub(crate) shutdown_grace: Period,
}

/// What takes effect at once: at the next request, message of an agent, backup or look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Live {
    pub(crate) server: ListenLive,
    pub(crate) store: BackupSettings,
    pub(crate) agents: AgentsSettings,
    pub(crate) auth: AuthSettings,
    pub(crate) retention: RetentionSettings,
    pub(crate) logging: LoggingLive,
}

/// What agents and people are told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ListenLive {
    pub(crate) public_url: Option<String>,
}

impl Reload for ControllerConfig {
    type Boot = Boot;
    type Live = Live;

    // Nobody but its own machine configures a controller: these are the sections, whole.
    const LOCAL_ONLY: &'static [&'static str] = &[
        "server",
        "tls",
        "store",
        "agents",
        "auth",
        "retention",
        "logging",
        "telemetry",
    ];

    fn split(self) -> (Boot, Live) {
        let Self {
            server,
            tls,
            store,
            agents,
            auth,
            retention,
            logging,
            telemetry,
        } = self;
        let (store_boot, store) = store.split();
        let (logging_boot, logging) = logging.split();
        let boot = Boot {
            server: ListenBoot {
                listen: server.listen,
                allow_http: server.allow_http,
                max_body: server.max_body,
                max_connections: server.max_connections,
                request_timeout: server.request_timeout,
                shutdown_grace: server.shutdown_grace,
            },
            tls,
            store: store_boot,
            logging: logging_boot,
            telemetry,
        };
        let live = Live {
            server: ListenLive {
                public_url: server.public_url,
            },
            store,
            agents,
            auth,
            retention,
            logging,
        };
        (boot, live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_kit::live::keys_of;

    #[test]
    fn every_key_is_either_reloadable_or_needs_a_restart() {
        let all = keys_of(&ControllerConfig::default());
        let (boot, live) = ControllerConfig::default().split();
        let (boot, live) = (keys_of(&boot), keys_of(&live));
        assert!(boot.is_disjoint(&live));
        assert_eq!(
            boot.union(&live).cloned().collect::<std::collections::BTreeSet<_>>(),
            all
        );
    }
}
