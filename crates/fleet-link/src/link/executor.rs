//! What runs commands, whatever brings them and whoever hears of their end.
use super::{JournalError, desk::Desk, ledger::Ledger, outgoing::Outgoing, settings::LinkSettings, verb::Verbs};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::InstanceId;
use fleet_wire::link::Command;
use state_sqlite::{CommandJournal, Seen};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};
use tokio::sync::watch;
use tracing::info;

/// Who hears how commands end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A controller, which confirms each: until then it stays in the journal as one that is to be told.
    Confirmed,
    /// Nobody: the journal keeps them, so that no command runs twice, and that is all.
    Untold,
}

/// Told how many commands wait and how many run.
type Tell = Box<dyn Fn(usize, usize) + Send + Sync>;

/// What runs commands.
pub(crate) struct Executor {
    pub(super) ledger: Ledger,
    pub(super) verbs: Verbs,
    pub(super) desk: Desk,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) settings: watch::Receiver<LinkSettings>,
    pub(super) ends: Ends,
    pub(super) tell: Tell,
    /// Milliseconds that the controller's clock is ahead, as it last said.
    skew_ms: AtomicI64,
}

impl Executor {
    pub(crate) fn new(
        journal: CommandJournal,
        instance: InstanceId,
        verbs: Verbs,
        settings: watch::Receiver<LinkSettings>,
        ends: Ends,
        tell: impl Fn(usize, usize) + Send + Sync + 'static,
    ) -> Self {
        Self {
            ledger: Ledger { journal, instance },
            verbs,
            desk: Desk::default(),
            outgoing: Arc::default(),
            settings,
            ends,
            tell: Box::new(tell),
            skew_ms: AtomicI64::new(0),
        }
    }

    /// Writes a command down and has it run, unless it was here before.
    pub(crate) async fn accept(&self, command: Command, max_open: u64) -> Result<Seen, JournalError> {
        let seen = self.ledger.accept(&command, max_open).await?;
        if seen == Seen::New {
            info!(command = %command.command, verb = command.verb, "a command came");
            self.desk.wait(command, false);
        }
        Ok(seen)
    }

    /// The time by the controller's clock, which deadlines are of.
    pub(super) fn controller_now(&self) -> DateTime<Utc> {
        let skew = TimeDelta::milliseconds(self.skew_ms.load(Relaxed));
        Utc::now().checked_add_signed(skew).unwrap_or_else(Utc::now)
    }

    /// The controller's clock is so far ahead.
    pub(super) fn set_skew(&self, ahead: TimeDelta) {
        self.skew_ms.store(ahead.num_milliseconds(), Relaxed);
    }
}
