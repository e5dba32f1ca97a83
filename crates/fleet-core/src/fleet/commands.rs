//! Commands of operators.
use super::Fleet;
use crate::{
    Store, StoreError,
    command::{CommandTarget, NewCommand, SendRefusal, SentCommand},
    identity::Operator,
    token::{RandomError, random},
    verb,
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::CommandId;
use fleet_wire::link::Priority;
use serde_json::Value;
use std::time::Duration;

/// Arguments of one command, as JSON.
const LONGEST_ARGS: usize = 64 << 10;
/// Agents named by one command.
const MOST_NAMED: usize = 10_000;

/// What an operator wants done.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandOrder {
    /// What to do.
    pub verb: String,
    /// How.
    pub args: Value,
    /// For whom.
    pub target: CommandTarget,
    /// Which of several waiting ones goes first.
    pub priority: Priority,
    /// Not begun later than this after it was sent.
    pub within: Duration,
    /// The idempotency key, with what tells the request from another under the same key.
    pub key: Option<(String, [u8; 32])>,
}

/// A command was not sent; nobody got it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendCommandError {
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There is no agent of this name or id.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// There is no group of this name.
    #[error("there is no group `{0}`")]
    NoGroup(String),
    /// It is for nobody.
    #[error("no agent takes this command: name some that do")]
    Nobody,
    /// An agent that was named does not take the verb.
    #[error("{0}")]
    Verb(String),
    /// The arguments are not what the verb takes.
    #[error("{0}")]
    Args(String),
    /// The idempotency key came before with another body.
    #[error("this Idempotency-Key came before with another body")]
    KeyReused,
    /// There were no random bytes.
    #[error("a command could not be made")]
    Random(#[from] RandomError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// Queues a command for all whom it is for and wakes those who are there. When this returns, it is on disk.
    ///
    /// # Errors
    /// When it cannot be, it is for nobody, an agent does not take it, or the store fails.
    pub async fn send_command(
        &self,
        operator: &Operator,
        order: CommandOrder,
        now: DateTime<Utc>,
    ) -> Result<SentCommand, SendCommandError> {
        let deadline = self.check_order(&order, now).map_err(SendCommandError::Invalid)?;
        let command = NewCommand {
            id: CommandId::new(now, random()?),
            verb: order.verb.clone(),
            args: order.args,
            priority: order.priority,
            target: order.target,
            by: operator.user,
            deadline,
            key: order.key,
        };
        let sent = self.store().send_command(command, now).await?;
        let sent = sent.map_err(|refusal| match refusal {
            SendRefusal::NoAgent(agent) => SendCommandError::NoAgent(agent),
            SendRefusal::NoGroup(group) => SendCommandError::NoGroup(group),
            SendRefusal::Nobody => SendCommandError::Nobody,
            SendRefusal::Args(detail) => SendCommandError::Args(format!("`{}`: {detail}", order.verb)),
            SendRefusal::KeyReused => SendCommandError::KeyReused,
            SendRefusal::Verb { agent, takes } => SendCommandError::Verb(if takes.is_empty() {
                let known = verb::names().join(", ");
                format!(
                    "`{agent}` does not take `{}`: its kind has no such command (known of any kind: {known})",
                    order.verb
                )
            } else {
                format!(
                    "`{agent}` does not take `{}`: it takes {}",
                    order.verb,
                    takes.join(", ")
                )
            }),
        })?;
        sent.agents.iter().for_each(|agent| self.wake(*agent));
        Ok(sent)
    }

    /// Takes a command back wherever it has not ended, and tells those who have it; whether there is such a command.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel_command(&self, command: CommandId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let agents = self.store().cancel_command(command, now).await?;
        agents.iter().flatten().for_each(|agent| self.wake(*agent));
        Ok(agents.is_some())
    }

    /// Ends what time has ended. To be called every few seconds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn expire_commands(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let settings = self.settings();
        let before = |span| now - TimeDelta::from_std(span).unwrap_or(TimeDelta::days(365));
        self.store()
            .expire_commands(
                now,
                before(settings.command_grace),
                before(settings.offline_after),
                before(settings.kept_commands),
            )
            .await
    }

    /// The instant after which the command is not begun.
    fn check_order(&self, order: &CommandOrder, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
        let longest = self.settings().longest_deadline;
        if order.within.is_zero() || order.within > longest {
            let longest = longest.as_secs();
            return Err(format!("a command's deadline lies 1 to {longest} s after it is sent"));
        }
        if order.verb.is_empty() || order.verb.len() > 64 {
            return Err("a verb has 1 to 64 bytes".to_owned());
        }
        if order.args.to_string().len() > LONGEST_ARGS {
            return Err(format!("arguments have up to {LONGEST_ARGS} bytes"));
        }
        if order.target.agents.len() > MOST_NAMED {
            return Err(format!("a command names up to {MOST_NAMED} agents"));
        }
        if order
            .key
            .as_ref()
            .is_some_and(|(key, _)| key.is_empty() || key.len() > 255)
        {
            return Err("an Idempotency-Key has 1 to 255 bytes".to_owned());
        }
        let within = TimeDelta::from_std(order.within).unwrap_or(TimeDelta::MAX);
        now.checked_add_signed(within)
            .ok_or_else(|| "the deadline is out of range".to_owned())
    }
}
