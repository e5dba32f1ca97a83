//! Commands.
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId};
use fleet_core::{CommandDetail, CommandRecord, CommandTarget, Delivery, DeliveryCounts, DeliveryState};
use fleet_wire::link::{Priority, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /api/v1/commands`, with or without an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// What to do, such as `scan`.
    pub verb: String,
    /// How; an object whose fields are the verb's.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// For whom.
    pub to: CommandTarget,
    /// Which of several waiting ones goes first: `low`, `normal`, `high` or `critical`.
    #[serde(default)]
    pub priority: Priority,
    /// Not begun later than so many seconds after it was sent; an hour when not said.
    #[serde(default = "an_hour")]
    pub deadline_secs: u64,
}

const fn an_hour() -> u64 {
    3600
}

/// The parameters of `GET /api/v1/commands`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandQuery {
    /// Commands for this agent, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Commands of this verb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// Those that have not ended everywhere.
    #[serde(default)]
    pub open: bool,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many rows, 1 to 1000; 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandView {
    /// Its id.
    pub id: CommandId,
    /// What to do.
    pub verb: String,
    /// How.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// Which of several waiting ones goes first.
    pub priority: Priority,
    /// For whom, as it was asked.
    pub to: CommandTarget,
    /// When it was sent.
    pub issued_at: DateTime<Utc>,
    /// Who sent it.
    pub issued_by: String,
    /// Not begun after this instant.
    pub deadline: DateTime<Utc>,
    /// Agents by where it stands at them.
    pub agents: DeliveryCounts,
}

impl From<CommandRecord> for CommandView {
    fn from(command: CommandRecord) -> Self {
        Self {
            id: command.id,
            verb: command.verb,
            args: command.args,
            priority: command.priority,
            to: command.target,
            issued_at: command.issued_at,
            issued_by: command.issued_by,
            deadline: command.deadline,
            agents: command.counts,
        }
    }
}

/// `GET /api/v1/commands/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandDetailView {
    /// The command.
    #[serde(flatten)]
    pub command: CommandView,
    /// At each agent, those that did not do it first; a thousand at most.
    pub deliveries: Vec<DeliveryView>,
}

impl From<CommandDetail> for CommandDetailView {
    fn from(detail: CommandDetail) -> Self {
        Self {
            command: detail.command.into(),
            deliveries: detail.deliveries.into_iter().map(Into::into).collect(),
        }
    }
}

/// A command at one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryView {
    /// The agent's id.
    pub agent_id: AgentId,
    /// The agent's name.
    pub agent: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was given to the agent.
    pub attempt: u32,
    /// The session of the agent that it was last given to, or that last spoke of it.
    pub epoch: u64,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When it was last given to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// When the agent had it in its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked_at: Option<DateTime<Utc>>,
    /// When the agent began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// When an operator took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_at: Option<DateTime<Utc>>,
    /// How far it is, as the agent last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// A stable name of the reason where it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason, or the result in a line, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            agent_id: delivery.agent,
            agent: delivery.name,
            state: delivery.state,
            attempt: delivery.attempt,
            epoch: delivery.epoch,
            queued_at: delivery.queued_at,
            sent_at: delivery.sent_at,
            acked_at: delivery.acked_at,
            started_at: delivery.started_at,
            ended_at: delivery.ended_at,
            cancel_at: delivery.cancel_at,
            progress: delivery.progress,
            code: delivery.code,
            detail: delivery.detail,
            result: delivery.result,
        }
    }
}
