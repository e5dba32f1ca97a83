//! The state of an agent, opened for writing: locked, checked, restored where it was damaged, bounded.
use super::answer;
use chrono::{DateTime, Utc};
use core_model::Queue as _;
use daemon_kit::{BackupSettings, OutboxSettings};
use state_sqlite::{Component, Database, LockError, Outbox, RunLock, Story, open_or_recover};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// So long a process that was killed is waited for.
const DYING: Duration = Duration::from_secs(1);
/// Between two looks at the lock.
const LOOK: Duration = Duration::from_millis(20);

/// The state, held by this process alone for as long as this lives.
#[derive(Debug)]
pub struct AgentState {
    /// The database.
    pub database: Database,
    /// What waits for the server, in it.
    pub outbox: Outbox,
    /// The file.
    pub file: PathBuf,
    /// What was found when it was opened.
    pub story: Story,
    /// Set when the process has to end: whoever waits for room in the outbox then gives up.
    pub stop: Arc<AtomicBool>,
    _lock: RunLock,
}

impl AgentState {
    /// Opens the state at `file`, makes it where there is none, and repairs it where it is damaged. `components` are the
    /// product's own tables. Blocks on the disk; checking or restoring a large state takes a while, and ends well when it
    /// is cut off.
    ///
    /// # Errors
    /// When another process holds it, when it can be neither opened nor repaired, and when the outbox cannot be looked
    /// through.
    pub fn open(
        file: &Path,
        backups: &BackupSettings,
        outbox: &OutboxSettings,
        components: &[Component],
        now: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let lock = lock(file)?;
        // After the product's: one of them may have made the table before it was every agent's.
        let components = [components, &[answer::COMPONENT]].concat();
        let (database, story) = open_or_recover(file, &backups.backups(file), &components, now)?;
        match &story {
            Story::New | Story::Sound => tracing::debug!(state = %file.display(), "{story}"),
            _ => tracing::error!(state = %file.display(), "{story}"),
        }
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        database.stop_when(move || asked.load(Ordering::Relaxed));
        let bounds = outbox.bounds();
        let outbox = Outbox::open(&database)?;
        outbox.set_bounds(bounds);
        let state = Self {
            database,
            outbox,
            file: file.to_owned(),
            story,
            stop,
            _lock: lock,
        };
        state.expire(now)?;
        Ok(state)
    }

    /// Records that wait for the server.
    pub fn waiting(&self) -> u64 {
        self.outbox.stats().map_or(u64::MAX, |stats| stats.records)
    }

    /// Drops what has waited too long.
    pub(super) fn expire(&self, now: DateTime<Utc>) -> anyhow::Result<()> {
        let expired = self.outbox.expire(now)?;
        if expired > 0 {
            tracing::warn!(
                records = expired,
                "records waited longer than `outbox.max_age` and were dropped; everything is told anew once the server \
                 answers"
            );
        }
        Ok(())
    }
}

/// Locks the state. A process that was killed just now may hold it for a moment longer.
fn lock(file: &Path) -> Result<RunLock, LockError> {
    let began = Instant::now();
    loop {
        match RunLock::acquire(file) {
            Err(LockError::Held { .. }) if began.elapsed() < DYING => thread::sleep(LOOK),
            locked => return locked,
        }
    }
}
