//! Commands, and how they end.
use chrono::{DateTime, Utc};
use core_model::{CommandId, MessageId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something for an agent to do. It may come more than once and is done at most once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its id.
    pub command: CommandId,
    /// What to do, such as `scan`.
    pub verb: String,
    /// How; its shape is the verb's.
    #[serde(default)]
    pub args: Value,
    /// Which of several waiting ones is begun first.
    #[serde(default)]
    pub priority: Priority,
    /// Not begun after this instant.
    pub deadline: DateTime<Utc>,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
}

/// The order among commands that wait; of equal ones the earlier goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When nothing else is to be done.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Before the usual.
    High,
    /// Before everything.
    Critical,
}

/// How a command ended at an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandReport {
    /// The command.
    pub command: CommandId,
    /// How.
    pub outcome: Outcome,
    /// A stable name of the reason where it is not `done`, such as `unknown_verb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason, or the result in a line, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The result; its shape is the verb's.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// When it was begun, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

impl Outcome {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// It did not.
    Failed,
    /// It was not begun by its deadline.
    Expired,
    /// It was cancelled before it had ended.
    Cancelled,
    /// The agent was ended while it ran, or its journal was lost: nobody can say.
    #[serde(other)]
    Unknown,
}

/// A message could not be read or acted upon. The link goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// A stable name of the reason, such as `unknown_type`.
    pub code: String,
    /// The reason for people.
    pub detail: String,
    /// The message that this is about, where it had an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<MessageId>,
}
