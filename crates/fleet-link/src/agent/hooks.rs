//! What only the product knows.
use crate::Refusal;
use chrono::{DateTime, Utc};
use fleet_wire::files_v1;
use serde_json::Value;

/// How the product's work goes, for heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When the last scan ended; until one has, nothing is there that a backup would be worth.
    pub last_scan_time: Option<DateTime<Utc>>,
    /// Files that it looked at.
    pub files: u64,
    /// What went wrong in it.
    pub errors: u64,
    /// Why all is not well with the work, where `/health` does not say it: the agent is degraded then.
    pub reason: Option<String>,
}

/// What the agent asks of the product, and tells it.
pub trait AgentHooks: Send + Sync + 'static {
    /// How the work goes.
    fn pulse(&self) -> Pulse;

    /// The server will never take these records. Called before they leave the outbox, on a thread where it may block;
    /// after a crash the same may be told again.
    fn rejected(&self, refusals: &[Refusal]);
}

/// How the configuration `C` of a product is told to a server of the file-scanner document, and told by it.
pub struct Document<C> {
    /// The scan paths that this machine's own configuration has, as they are registered.
    pub scan_paths: fn(&C) -> Vec<String>,
    /// What the server set, in the product's keys; `None` for nothing. With `true` the server's scan paths are those that
    /// it has from this agent, and no wish of its own.
    pub layer: fn(files_v1::Config, bool) -> Option<Value>,
}

// Derived, they would ask the same of the configuration.
impl<C> Clone for Document<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Document<C> {}
