//! The link between an agent and the controller: commands, their results, heartbeats, configuration.
//!
//! One WebSocket (`/ws/agent`) carries one [`Envelope`] in each text frame; where none passes, the same envelopes go by
//! [`PollRequest`] and [`PollResponse`]. A type that is not known is answered by an [`ErrorMessage`], and the link stays.
mod agent;
mod command;
mod controller;
mod envelope;
mod poll;

pub use agent::{
    Ack, AgentMessage, ConfigOutcome, ConfigProblem, ConfigReport, ConfigVersion, Hello, HostSample, JournalEntry,
    JournalState, Progress,
};
pub use command::{Command, CommandReport, ErrorMessage, Outcome, Priority};
pub use controller::{Cancel, Config, Confirm, ControllerMessage, GoAway, Throttle, Welcome};
pub use envelope::{Envelope, ReadError};
pub use poll::{PollRequest, PollResponse};
