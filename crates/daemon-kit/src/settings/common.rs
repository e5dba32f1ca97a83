//! The sections that every agent of a fleet has, told apart into what needs a restart and what does not.

use super::{
    AgentBoot, AgentLive, AgentSettings, BackupSettings, DatabaseBoot, DatabaseSettings, HealthSettings, LoggingBoot,
    LoggingLive, LoggingSettings, OutboxSettings, ServerSettings,
};
use crate::telemetry::TelemetrySettings;
use serde::Serialize;

/// The sections that every agent of a fleet has. A product names each in its own settings, where they are documented in
/// the product's order, and hands them over when it is asked for its [`Reload::split`](crate::live::Reload::split).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommonSettings {
    /// Where is reported.
    pub server: ServerSettings,
    /// Who the agent is.
    pub agent: AgentSettings,
    /// Where the state lies, and its backups.
    pub database: DatabaseSettings,
    /// What waits for the server.
    pub outbox: OutboxSettings,
    /// What is logged, and where.
    pub logging: LoggingSettings,
    /// The health and metrics endpoint.
    pub health: HealthSettings,
    /// Where metrics, traces and the log go besides.
    pub telemetry: TelemetrySettings,
}

/// What of [`CommonSettings`] takes effect at the next start. A product with more of the kind flattens it into its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommonBoot {
    /// The agent's name.
    pub agent: AgentBoot,
    /// Where the state lies.
    pub database: DatabaseBoot,
    /// Where is logged to.
    pub logging: LoggingBoot,
    /// Where metrics, traces and the log go besides.
    pub telemetry: TelemetrySettings,
}

/// What of [`CommonSettings`] takes effect at once. A product flattens it into its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommonLive {
    /// Where is reported.
    pub server: ServerSettings,
    /// How often the agent says that it is alive, and where it is.
    pub agent: AgentLive,
    /// The backups of the state.
    pub database: BackupSettings,
    /// What waits for the server.
    pub outbox: OutboxSettings,
    /// The level of the log.
    pub logging: LoggingLive,
    /// The health and metrics endpoint.
    pub health: HealthSettings,
}

impl CommonSettings {
    /// Tells what needs a restart from what does not.
    pub fn split(self) -> (CommonBoot, CommonLive) {
        let Self {
            server,
            agent,
            database,
            outbox,
            logging,
            health,
            telemetry,
        } = self;
        let (agent_boot, agent) = agent.split();
        let (database_boot, database) = database.split();
        let (logging_boot, logging) = logging.split();
        let boot = CommonBoot {
            agent: agent_boot,
            database: database_boot,
            logging: logging_boot,
            telemetry,
        };
        let live = CommonLive {
            server,
            agent,
            database,
            outbox,
            logging,
            health,
        };
        (boot, live)
    }
}
