//! What waits for the link to send it. It is bounded by its form: of everything that repeats only the latest is kept, and
//! while nothing is connected nothing is, for a HELLO tells where the journal stands.
use core_model::CommandId;
use fleet_wire::link::{AgentMessage, CommandReport, ConfigReport, Progress};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Progress is for people; they do not read faster.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    slots: Mutex<Slots>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    is_open: bool,
    results: VecDeque<CommandReport>,
    progress: BTreeMap<CommandId, Progress>,
    /// The latest, told at each HELLO, and whether this connection has heard it.
    config: Option<ConfigReport>,
    is_config_told: bool,
    progress_from: Option<Instant>,
}

impl Outgoing {
    /// A connection begins: what waited for another is in the journal, and the configuration is told anew.
    pub(super) fn open(&self) {
        let mut slots = self.lock();
        slots.is_open = true;
        slots.results.clear();
        slots.progress.clear();
        slots.is_config_told = false;
    }

    pub(super) fn close(&self) {
        let mut slots = self.lock();
        slots.is_open = false;
        slots.results.clear();
        slots.progress.clear();
    }

    pub(super) fn result(&self, report: CommandReport) {
        let mut slots = self.lock();
        // What it was doing is no news any more.
        slots.progress.remove(&report.command);
        if slots.is_open {
            slots.results.push_back(report);
            self.filled.notify_one();
        }
    }

    pub(super) fn progress(&self, progress: Progress) {
        let mut slots = self.lock();
        if slots.is_open {
            slots.progress.insert(progress.command, progress);
            self.filled.notify_one();
        }
    }

    pub(super) fn config(&self, report: ConfigReport) {
        let mut slots = self.lock();
        slots.config = Some(report);
        slots.is_config_told = false;
        self.filled.notify_one();
    }

    /// Until there is something to send.
    pub(super) async fn ready(&self) {
        loop {
            let (is_ready, later) = {
                let slots = self.lock();
                let is_due = slots.progress_from.is_none_or(|from| from <= Instant::now());
                let has_progress = !slots.progress.is_empty();
                let later = slots.progress_from.filter(|_| has_progress);
                (slots.has_urgent() || (has_progress && is_due), later)
            };
            if is_ready {
                return;
            }
            let due = async {
                match later {
                    Some(later) => sleep_until(later).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.filled.notified() => {}
                () = due => {}
            }
        }
    }

    /// What there is to send now.
    pub(super) fn take(&self) -> Vec<AgentMessage> {
        let mut slots = self.lock();
        let mut messages: Vec<_> = Vec::new();
        let now = Instant::now();
        if slots.progress_from.is_none_or(|from| from <= now) && !slots.progress.is_empty() {
            slots.progress_from = Some(now + PROGRESS_EVERY);
            messages.extend(
                std::mem::take(&mut slots.progress)
                    .into_values()
                    .map(AgentMessage::Progress),
            );
        }
        messages.extend(slots.results.drain(..).map(AgentMessage::Result));
        if !std::mem::replace(&mut slots.is_config_told, true) {
            messages.extend(slots.config.clone().map(AgentMessage::ConfigReport));
        }
        messages
    }

    /// What these locks guard is whole after any panic.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn has_urgent(&self) -> bool {
        !self.results.is_empty() || (self.config.is_some() && !self.is_config_told)
    }
}
