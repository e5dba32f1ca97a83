//! What was told already and is not written down yet: nobody waits for a disk that is full.
use super::Listener;
use super::Teller;
use chrono::{DateTime, Utc};
use daemon_kit::blocking;
use fleet_wire::MalwareRecord;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// So many are written down at once.
const AT_ONCE: usize = 256;

/// After so long it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// So many wait; beyond, the oldest are not written down. They are in the log, and malware that was taken away is found
/// again in the quarantine by the next start.
const MOST: usize = 100_000;

/// What waits to be written down.
#[derive(Default)]
pub(super) struct Pending {
    records: VecDeque<(DateTime<Utc>, MalwareRecord)>,
    /// When it is tried again; none where nothing failed.
    again: Option<Instant>,
}

impl Pending {
    pub(super) fn push(&mut self, at: DateTime<Utc>, record: MalwareRecord) {
        if self.records.len() >= MOST {
            tracing::error!(
                most = MOST,
                "the oldest of what waits to be written down is given up: it is in the log alone"
            );
            self.records.pop_front();
        }
        self.records.push_back((at, record));
    }

    /// When it is to be tried again; none where there is nothing to write, or nothing failed.
    pub(super) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Whether something waits that is to be written now.
    pub(super) fn is_due(&self) -> bool {
        !self.records.is_empty() && self.again.is_none_or(|again| again <= Instant::now())
    }

    /// Writes it all down, as far as that can be done. Whether something was written.
    pub(super) async fn write(&mut self, teller: &Teller, listener: &Arc<dyn Listener>) -> bool {
        let mut has_written = false;
        while !self.records.is_empty() {
            let some: Vec<_> = self.records.iter().take(AT_ONCE).cloned().collect();
            let (count, teller, has_server) = (some.len(), teller.clone(), listener.has_server());
            if let Err(error) = blocking(move || teller.happened(&some, has_server)).await {
                let (text, waiting) = (format!("{error:#}"), self.records.len());
                tracing::error!(
                    error = text,
                    waiting,
                    "what was found cannot be written down: it is tried again"
                );
                self.again = Some(Instant::now() + AGAIN_AFTER);
                listener.unwritten(waiting, &text);
                return has_written;
            }
            self.records.drain(..count);
            has_written = true;
        }
        if self.again.take().is_some() {
            tracing::info!("what was found is written down again");
            listener.written();
        }
        has_written
    }
}
