//! How the link is, for `/health`.
use chrono::{DateTime, TimeDelta, Utc};
use fleet_wire::link::Welcome;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One WebSocket that stays open.
    WebSocket,
    /// Requests, again and again.
    Polling,
}

impl Transport {
    /// Its name, for people and for `/health`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

/// How the link is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// The connection, while there is one.
    pub connected: Option<Connected>,
    /// What ended the last connection, or kept the next from coming about, with all causes. Gone once one is there.
    pub error: Option<String>,
    /// The controller does not take this agent's key. It stays until it does.
    pub unauthorized: bool,
    /// The controller says that another one with this agent's key is there: nothing may be told under it meanwhile. It
    /// stays until this one is let in.
    pub is_doubled: bool,
    /// The same, and it said so before, longer ago than one
    /// that is gone would count as there. It stays until this one is let in.
    pub is_clone: bool,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Without a connection: until when nothing is tried.
    pub next_try: Option<DateTime<Utc>>,
    /// Commands that wait for their turn.
    pub waiting: usize,
    /// Commands that run.
    pub running: usize,
}

/// A connection that the controller has welcomed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// How messages travel.
    pub transport: Transport,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The connection's number at the controller.
    pub epoch: u64,
    /// The agent's name at the controller.
    pub name: String,
    /// The controller's version.
    pub controller_version: String,
    /// How far the controller's clock is ahead of this machine's; the way of the message is in it.
    pub clock_skew: TimeDelta,
}

impl Connected {
    pub(super) fn new(transport: Transport, welcome: &Welcome, now: DateTime<Utc>) -> Self {
        Self {
            transport,
            since: now,
            epoch: welcome.epoch,
            name: welcome.name.clone(),
            controller_version: welcome.version.clone(),
            clock_skew: welcome.time - now,
        }
    }
}
