//! The link where no WebSocket passes: the same messages by `POST /api/v1/agents/me/messages`.
use super::Envelope;
use serde::{Deserialize, Serialize};

/// What the agent has to say. The first request of a start of the agent begins with HELLO.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PollRequest {
    /// Its messages, the earliest first.
    pub messages: Vec<Envelope>,
    /// Of which session they are: WELCOME's epoch. Without it they are taken for those of the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// What the controller has to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PollResponse {
    /// Its messages, the earliest first.
    pub messages: Vec<Envelope>,
    /// When to ask again, unless there is something to say before.
    pub poll_after_secs: u32,
}
