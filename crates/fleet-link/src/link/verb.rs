//! What a product can be told to do: verbs, what runs them, and what they say.
use super::outgoing::Outgoing;
use chrono::{DateTime, Utc};
use core_model::CommandId;
use fleet_wire::link::{Command, Progress};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};
use tokio_util::sync::CancellationToken;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Handler = Arc<dyn Fn(Value, CommandContext) -> Answer<Result<Value, CommandError>> + Send + Sync>;
type AfterRestart = Arc<dyn Fn(InterruptedCommand) -> Answer<AfterRestartDecision> + Send + Sync>;

/// What a command runs with.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// The command.
    pub command: CommandId,
    /// It was begun before this instant of the controller's clock; a verb that takes long may hold itself to it.
    pub deadline: DateTime<Utc>,
    /// Cancelled when an operator wants it no longer, and when the agent stops. Answer it by
    /// [`CommandError::Cancelled`], soon: the agent's end waits for it. Where it was the agent that stopped, the command
    /// has no result then, and the verb is asked after the restart.
    pub cancel: CancellationToken,
    /// It was begun before a restart of the agent already, and is run again.
    pub is_again: bool,
    /// Where to say how far it is.
    pub progress: CommandProgress,
}

/// Says how far a command is. What follows faster than the link sends is left out, but for the latest.
#[derive(Clone)]
pub struct CommandProgress {
    pub(super) command: CommandId,
    pub(super) outgoing: Arc<Outgoing>,
}

impl CommandProgress {
    /// So many of so many units of work are done, and the same for people.
    pub fn tell(&self, done: u64, total: Option<u64>, text: impl Into<String>) {
        self.outgoing.progress(Progress {
            command: self.command,
            done,
            total,
            text: text.into(),
            at: Utc::now(),
        });
    }
}

impl fmt::Debug for CommandProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandProgress({})", self.command)
    }
}

/// How a command ended that did not do what it should.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// It failed.
    #[error("{detail}")]
    Failed {
        /// A stable name of the reason, for programs.
        code: String,
        /// The reason, and the remedy, for people.
        detail: String,
        /// What it did nevertheless; `null` for nothing.
        body: Value,
    },
    /// It was cancelled before its end.
    #[error("cancelled before its end")]
    Cancelled {
        /// What it did before; `null` for nothing.
        body: Value,
    },
}

impl CommandError {
    /// A failure with nothing done.
    pub fn failed(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Failed {
            code: code.into(),
            detail: detail.into(),
            body: Value::Null,
        }
    }

    /// The arguments are not what the verb takes.
    pub fn invalid_args(detail: impl Into<String>) -> Self {
        Self::failed("invalid_args", detail)
    }

    /// Cancelled with nothing done.
    pub const fn cancelled() -> Self {
        Self::Cancelled { body: Value::Null }
    }
}

/// A command that was running when the agent, or its link, ended.
#[derive(Clone, Debug, PartialEq)]
pub struct InterruptedCommand {
    /// The command.
    pub command: Command,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// Whether this very process began it: then the link was restarted, and the agent was not.
    pub is_same_process: bool,
}

/// What became of a command that was interrupted.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterRestartDecision {
    /// It did what it should; this is its result.
    Done(Value),
    /// It did not.
    Failed(CommandError),
    /// To run it again, or on from where it was, is right.
    RunAgain,
    /// Nobody can say.
    Unknown,
}

/// Something that a product can be told to do.
#[derive(Clone)]
pub struct Verb {
    pub(super) handler: Handler,
    pub(super) is_immediate: bool,
    pub(super) after_restart: Option<AfterRestart>,
}

impl Verb {
    /// What runs it, given the arguments. Of such verbs one command runs at a time. One that is interrupted by the
    /// agent's end is reported as unknown.
    pub fn new<F, R>(handler: F) -> Self
    where
        F: Fn(Value, CommandContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, CommandError>> + Send + 'static,
    {
        Self {
            handler: Arc::new(move |args, context| Box::pin(handler(args, context))),
            is_immediate: false,
            after_restart: None,
        }
    }

    /// It does not wait for other commands, nor do they for it.
    #[must_use]
    pub fn immediate(mut self) -> Self {
        self.is_immediate = true;
        self
    }

    /// To run it twice is as good as once: interrupted, it is run again.
    #[must_use]
    pub fn idempotent(self) -> Self {
        self.after_restart(|_| std::future::ready(AfterRestartDecision::RunAgain))
    }

    /// Says what became of a command of this verb that was interrupted.
    #[must_use]
    pub fn after_restart<F, R>(mut self, decide: F) -> Self
    where
        F: Fn(InterruptedCommand) -> R + Send + Sync + 'static,
        R: Future<Output = AfterRestartDecision> + Send + 'static,
    {
        self.after_restart = Some(Arc::new(move |interrupted| Box::pin(decide(interrupted))));
        self
    }
}

impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verb")
            .field("is_immediate", &self.is_immediate)
            .field("after_restart", &self.after_restart.is_some())
            .finish_non_exhaustive()
    }
}

/// Everything that a product can be told to do, by name.
#[derive(Clone, Debug, Default)]
pub struct Verbs(BTreeMap<String, Verb>);

impl Verbs {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, verb: Verb) -> Self {
        self.0.insert(name.into(), verb);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Verb> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
