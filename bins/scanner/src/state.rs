//! The state of `scanner run`, opened for writing: locked, checked, restored where it was damaged, bounded.
use crate::{cli::Which, context::Context, session};
use chrono::Utc;
use core_model::Queue as _;
use state_sqlite::{Database, Outbox, RunLock, Story, open_or_recover};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The state, held by this process alone for as long as this lives.
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    /// The file.
    pub(crate) file: PathBuf,
    /// What was found when it was opened.
    pub(crate) story: Story,
    /// Set when the process has to end: whoever waits for room in the outbox then gives up.
    pub(crate) stop: Arc<AtomicBool>,
    _lock: RunLock,
}

impl State {
    /// Opens the state of `run`, makes it where there is none, and repairs it where it is damaged.
    pub(crate) fn open(context: &Context) -> anyhow::Result<Self> {
        let file = context.state_file(Which::Run);
        let lock = RunLock::acquire(&file)?;
        let backups = context.live().database.backups(&file);
        let (database, story) = open_or_recover(&file, &backups, &[session::COMPONENT], Utc::now())?;
        match &story {
            Story::New | Story::Sound => tracing::debug!(state = %file.display(), "{story}"),
            _ => tracing::error!(state = %file.display(), "{story}"),
        }
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        database.stop_when(move || asked.load(Ordering::Relaxed));
        let outbox = Outbox::open(&database)?;
        outbox.set_bounds(context.live().outbox.bounds());
        let expired = outbox.expire(Utc::now())?;
        if expired > 0 {
            tracing::warn!(
                records = expired,
                "records waited longer than `outbox.max_age` and were dropped; everything is told anew once the server \
                 answers"
            );
        }
        Ok(Self {
            database,
            outbox,
            file,
            story,
            stop,
            _lock: lock,
        })
    }

    /// Records that wait for the server.
    pub(crate) fn waiting(&self) -> u64 {
        self.outbox.stats().map_or(u64::MAX, |stats| stats.records)
    }
}
