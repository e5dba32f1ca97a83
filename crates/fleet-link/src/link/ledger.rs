//! The journal of commands as the link sees it: messages instead of bytes, on a thread where it may block.
use super::JournalError;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{CommandId, InstanceId};
use fleet_wire::link::{Command, CommandReport, JournalState};
use state_sqlite::{CommandJournal, CommandState, JournaledCommand, Seen, StateError};

/// How long after its deadline a command is still known, for a repeat that was long on its way.
const KEPT_AFTER_DEADLINE: TimeDelta = TimeDelta::days(1);

#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) journal: CommandJournal,
    pub(super) instance: InstanceId,
}

/// A command of the journal.
pub(super) struct Noted {
    pub(super) id: CommandId,
    pub(super) state: JournalState,
    /// `None` where the disk has damaged it.
    pub(super) command: Option<Command>,
    pub(super) started: Option<(DateTime<Utc>, InstanceId)>,
    pub(super) report: Option<CommandReport>,
}

impl Ledger {
    pub(super) async fn accept(&self, command: &Command, max_open: u64) -> Result<Seen, JournalError> {
        let body = serde_json::to_vec(command).map_err(JournalError::Encode)?;
        let (id, deadline) = (command.command, command.deadline);
        self.ask(move |journal| {
            let keep_until = deadline.checked_add_signed(KEPT_AFTER_DEADLINE).unwrap_or(deadline);
            journal.accept(id, &body, keep_until, max_open, Utc::now())
        })
        .await
    }

    pub(super) async fn start(&self, id: CommandId) -> Result<bool, JournalError> {
        let by = self.instance;
        self.ask(move |journal| journal.start(id, by, Utc::now())).await
    }

    pub(super) async fn end(&self, report: &CommandReport) -> Result<bool, JournalError> {
        let result = serde_json::to_vec(report).map_err(JournalError::Encode)?;
        let id = report.command;
        self.ask(move |journal| journal.end(id, &result)).await
    }

    pub(super) async fn confirm(&self, id: CommandId, keep: u32) -> Result<bool, JournalError> {
        self.ask(move |journal| journal.confirm(id, keep, Utc::now())).await
    }

    /// How a command ended, if it is known and has.
    pub(super) async fn report(&self, id: CommandId) -> Result<Option<CommandReport>, JournalError> {
        let found = self.ask(move |journal| journal.get(id)).await?;
        Ok(found.and_then(|command| Noted::of(command).report))
    }

    pub(super) async fn knows(&self, id: CommandId) -> Result<bool, JournalError> {
        Ok(self.ask(move |journal| journal.get(id)).await?.is_some())
    }

    pub(super) async fn unconfirmed(&self) -> Result<Vec<Noted>, JournalError> {
        let found = self.ask(CommandJournal::unconfirmed).await?;
        Ok(found.into_iter().map(Noted::of).collect())
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CommandJournal) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let journal = self.journal.clone();
        let done = tokio::task::spawn_blocking(move || work(&journal)).await;
        Ok(done.map_err(|_| JournalError::Interrupted)??)
    }
}

impl Noted {
    fn of(command: JournaledCommand) -> Self {
        let state = match command.state {
            CommandState::Accepted => JournalState::Accepted,
            CommandState::Started => JournalState::Started,
            CommandState::Ended | CommandState::Confirmed => JournalState::Ended,
        };
        let is_ended = state == JournalState::Ended;
        let report = command.result.and_then(|result| serde_json::from_slice(&result).ok());
        Self {
            id: command.id,
            state,
            command: command.body.and_then(|body| serde_json::from_slice(&body).ok()),
            started: command.started,
            // That it ended is known; how, the disk has lost.
            report: report.or_else(|| is_ended.then(|| super::report::damaged(command.id))),
        }
    }
}
