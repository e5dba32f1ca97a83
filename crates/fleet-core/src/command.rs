//! Commands of operators to agents, and how each stands at each agent.
use crate::selector::AgentSelector;
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId, LabelMatch, Site, UserId};
use fleet_wire::link::{Outcome, Priority, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// For whom a command is, as it was asked: the agents that are named, and beside them all that fit the rest of what is
/// set, each part of which narrows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandTarget {
    /// Agents by name or id: each has to take the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// All agents that take the command.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// All agents of this product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// At this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// With each of these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelMatch>,
    /// That can do this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// On a machine with this container engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_engine: Option<String>,
    /// Of this group, as it stands when the command is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl CommandTarget {
    /// Who is meant beside those that are named, the group left aside.
    pub fn selector(&self) -> AgentSelector {
        AgentSelector {
            kind: self.kind.clone(),
            site: self.site.clone(),
            labels: self.labels.clone(),
            capability: self.capability.clone(),
            container_engine: self.container_engine.clone(),
        }
    }

    /// Whether anybody is meant beside those that are named.
    pub fn selects(&self) -> bool {
        self.all || self.group.is_some() || !self.selector().is_everybody()
    }
}

/// A command about to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCommand {
    /// Its id.
    pub id: CommandId,
    /// What to do.
    pub verb: String,
    /// How.
    pub args: Value,
    /// Which of several waiting ones goes first.
    pub priority: Priority,
    /// For whom.
    pub target: CommandTarget,
    /// Who sends it.
    pub by: UserId,
    /// Not begun after this instant.
    pub deadline: DateTime<Utc>,
    /// The idempotency key, with what tells the request from another under the same key.
    pub key: Option<(String, [u8; 32])>,
}

/// Why a command was not sent. Nobody got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendRefusal {
    /// There is no agent of this name or id.
    NoAgent(String),
    /// There is no group of this name.
    NoGroup(String),
    /// No agent was named, or none of those meant takes it.
    Nobody,
    /// An agent that was named does not take the verb.
    Verb {
        /// The agent.
        agent: String,
        /// Verbs that it said it takes; none where its kind knows no such verb.
        takes: Vec<String>,
    },
    /// The arguments are not what the verb takes.
    Args(String),
    /// The idempotency key came before with another body.
    KeyReused,
}

/// A command was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCommand {
    /// Its id: the earlier one's where the idempotency key came before.
    pub id: CommandId,
    /// Whether it is that earlier one.
    pub is_repeat: bool,
    /// Whom it is for.
    pub agents: Vec<AgentId>,
}

/// Where a command stands at one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The agent has not been given it.
    Queued,
    /// It was given to the agent, which has not answered.
    Sent,
    /// The agent has it in its journal.
    Acked,
    /// The agent is at it.
    Running,
    /// It did what it should.
    Done,
    /// It did not.
    Failed,
    /// It was not begun by its deadline.
    Expired,
    /// It was cancelled.
    Cancelled,
    /// The agent was ended while it ran, or has not been heard of since: nobody can say.
    Unknown,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Sent,
        Self::Acked,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// Whether it has ended.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent | Self::Acked | Self::Running)
    }

    /// As on the wire: `queued`, `sent` …
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Outcome> for DeliveryState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Failed => Self::Failed,
            Outcome::Expired => Self::Expired,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

/// Agents of a command by where it stands at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    /// Not given to so many.
    pub queued: u64,
    /// Given, and not answered.
    pub sent: u64,
    /// In so many journals.
    pub acked: u64,
    /// At work.
    pub running: u64,
    /// Done.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Not begun by its deadline.
    pub expired: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Nobody can say.
    pub unknown: u64,
}

impl DeliveryCounts {
    /// The count of one state.
    pub const fn of(&self, state: DeliveryState) -> u64 {
        match state {
            DeliveryState::Queued => self.queued,
            DeliveryState::Sent => self.sent,
            DeliveryState::Acked => self.acked,
            DeliveryState::Running => self.running,
            DeliveryState::Done => self.done,
            DeliveryState::Failed => self.failed,
            DeliveryState::Expired => self.expired,
            DeliveryState::Cancelled => self.cancelled,
            DeliveryState::Unknown => self.unknown,
        }
    }

    pub(crate) const fn add(&mut self, state: DeliveryState, count: u64) {
        let counted = match state {
            DeliveryState::Queued => &mut self.queued,
            DeliveryState::Sent => &mut self.sent,
            DeliveryState::Acked => &mut self.acked,
            DeliveryState::Running => &mut self.running,
            DeliveryState::Done => &mut self.done,
            DeliveryState::Failed => &mut self.failed,
            DeliveryState::Expired => &mut self.expired,
            DeliveryState::Cancelled => &mut self.cancelled,
            DeliveryState::Unknown => &mut self.unknown,
        };
        *counted += count;
    }

    /// Those at which it has not ended.
    pub const fn open(&self) -> u64 {
        self.queued + self.sent + self.acked + self.running
    }

    /// Those at which it ended otherwise than done.
    pub const fn not_done(&self) -> u64 {
        self.failed + self.expired + self.cancelled + self.unknown
    }

    /// All.
    pub const fn total(&self) -> u64 {
        self.open() + self.done + self.not_done()
    }
}

/// A command in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRecord {
    /// Its place in the order of sending; pages go by it.
    pub place: u64,
    /// Its id.
    pub id: CommandId,
    /// What to do.
    pub verb: String,
    /// How.
    pub args: Value,
    /// Which of several waiting ones goes first.
    pub priority: Priority,
    /// For whom, as it was asked.
    pub target: CommandTarget,
    /// When it was sent.
    pub issued_at: DateTime<Utc>,
    /// The name of the user who sent it.
    pub issued_by: String,
    /// Not begun after this instant.
    pub deadline: DateTime<Utc>,
    /// How it stands.
    pub counts: DeliveryCounts,
}

/// A command at one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The agent's id.
    pub agent: AgentId,
    /// The agent's name.
    pub name: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was given to the agent.
    pub attempt: u32,
    /// The session that it was last given to, or that last spoke of it.
    pub epoch: u64,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When it was last given to the agent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When the agent took it.
    pub acked_at: Option<DateTime<Utc>>,
    /// When the agent began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When an operator took it back.
    pub cancel_at: Option<DateTime<Utc>>,
    /// How far it is, as the agent last told.
    pub progress: Option<Progress>,
    /// A stable name of the reason where it is not done.
    pub code: Option<String>,
    /// The reason, or the result in a line, for people.
    pub detail: String,
    /// The result.
    pub result: Option<Value>,
}

/// A command with what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDetail {
    /// The command.
    pub command: CommandRecord,
    /// At each agent, those that did not do it first; a thousand at most.
    pub deliveries: Vec<Delivery>,
}

/// Which commands to list. What is not set does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandFilter {
    /// For this agent.
    pub agent: Option<AgentId>,
    /// Of this verb.
    pub verb: Option<String>,
    /// Those that have not ended everywhere.
    pub open: bool,
}
