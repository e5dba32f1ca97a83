//! The other half of the work: what is in the queue goes to the receiver.
use super::{
    OtlpError, Sent,
    export::Inner,
    failure::{Failure, Kind},
};
use chrono::{DateTime, Utc};
use core_model::{Backoff, Queue, QueuedRun, StreamId};
use std::{sync::Arc, time::Duration};
use telemetry_otel::{Batch, Rejected};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Waits after failures.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(120),
};

/// Below this no wait falls, however chance has it.
const LEAST_WAIT: Duration = Duration::from_millis(500);

/// So many batches are taken out of the queue at once; each has about a megabyte at most.
const AT_ONCE: usize = 4;

/// After so many failures on one batch the next is tried: if that arrives, the one was the reason.
const MAX_DOUBTS: u32 = 5;

/// What became of a run that left the queue.
enum Settled {
    /// The receiver has it.
    Arrived,
    /// Nobody ever will.
    Gone,
}

impl<Q: Queue + 'static> Inner<Q> {
    /// Sends what is in the queue, whenever there is something.
    pub(super) async fn deliver(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), OtlpError> {
        let mut failures = 0;
        loop {
            let wait = match self.drain(stop).await {
                Ok(Sent::Stopped) => return Ok(()),
                Ok(Sent::All) => {
                    failures = 0;
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = self.queued.notified() => continue,
                    }
                }
                Ok(Sent::Failed(_)) => self.wait(failures),
                Err(error @ OtlpError::Queue { .. }) => {
                    self.failed(&format!("{:#}", anyhow::Error::new(error)));
                    self.wait(failures)
                }
                Err(error) => return Err(error),
            };
            failures += 1;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(wait) => {}
            }
        }
    }

    fn wait(&self, failures: u32) -> Duration {
        let asked = self.lock().retry_after.take();
        // Without randomness the longest wait is the safe one.
        wait(asked, failures, getrandom::u64().unwrap_or(u64::MAX))
    }

    /// Sends until the queue is empty, or something fails.
    pub(super) async fn drain(self: &Arc<Self>, stop: &CancellationToken) -> Result<Sent, OtlpError> {
        loop {
            let stream = self.queue.stream();
            let runs = self.ask("read", move |queue| queue.peek(stream, 0, AT_ONCE)).await?;
            if runs.is_empty() {
                return Ok(Sent::All);
            }
            // One on which the receiver failed time and again, and what it said.
            let mut suspect: Option<(u64, u64, String)> = None;
            for run in runs {
                if stop.is_cancelled() {
                    return Ok(Sent::Stopped);
                }
                let (first, records) = (run.seqs.first, run.seqs.last - run.seqs.first + 1);
                match self.settle(run, stream, stop).await? {
                    Ok(Settled::Gone) => {}
                    Ok(Settled::Arrived) => {
                        // The receiver works, so it was the batch.
                        if let Some((first, records, reason)) = suspect.take() {
                            self.refused(records, &reason);
                            self.acknowledge(stream, first).await?;
                        }
                    }
                    Err(failure) if suspect.is_none() && self.is_suspect(&failure, first) => {
                        suspect = Some((first, records, failure.text));
                    }
                    Err(failure) if failure.kind == Kind::Cancelled => return Ok(Sent::Stopped),
                    Err(failure) => return Ok(Sent::Failed(failure.text)),
                }
            }
            if let Some((.., reason)) = suspect {
                return Ok(Sent::Failed(reason));
            }
        }
    }

    /// Sends one run, or finds a reason to be done with it without; the failure where it has to stay.
    async fn settle(
        self: &Arc<Self>,
        run: QueuedRun,
        stream: StreamId,
        stop: &CancellationToken,
    ) -> Result<Result<Settled, Failure>, OtlpError> {
        let (first, records) = (run.seqs.first, run.seqs.last - run.seqs.first + 1);
        let mut settled = Settled::Gone;
        // A damaged run is counted by the queue when it leaves.
        if let Some(batch) = run.body.ok().and_then(|body| Batch::from_queue(body).ok()) {
            if self.is_too_old(run.enqueued_at) {
                self.lock().status.expired += records;
                warn!(records, "telemetry waited too long and was dropped");
            } else {
                match self.transport.send(&batch, stop).await {
                    Ok(rejected) => {
                        self.arrived(&batch, rejected);
                        settled = Settled::Arrived;
                    }
                    Err(failure) if failure.kind == Kind::Final => self.refused(records, &failure.text),
                    Err(failure) => {
                        self.lock().retry_after = failure.retry_after;
                        // That it is left alone is no news beside the failures that led there.
                        if !matches!(failure.kind, Kind::Cancelled | Kind::LeftAlone) {
                            self.failed(&failure.text);
                        }
                        return Ok(Err(failure));
                    }
                }
            }
        }
        self.acknowledge(stream, first).await?;
        Ok(Ok(settled))
    }

    async fn acknowledge(self: &Arc<Self>, stream: StreamId, first: u64) -> Result<(), OtlpError> {
        self.ask("take a batch out of", move |queue| queue.ack(stream, &[first]))
            .await
    }

    fn refused(&self, records: u64, reason: &str) {
        self.lock().status.refused += records;
        error!(records, reason, "telemetry was refused for good and dropped");
    }

    fn is_too_old(&self, enqueued_at: DateTime<Utc>) -> bool {
        Utc::now() - enqueued_at > self.max_age
    }

    /// Whether the receiver failed on the batch that begins with `first` so often that the next one should be tried.
    fn is_suspect(&self, failure: &Failure, first: u64) -> bool {
        if failure.kind != Kind::Doubtful {
            return false;
        }
        let mut state = self.lock();
        let before = if state.doubts.0 == first { state.doubts.1 } else { 0 };
        state.doubts = (first, before + 1);
        before + 1 >= MAX_DOUBTS
    }

    fn arrived(&self, batch: &Batch, rejected: Option<Rejected>) {
        let mut state = self.lock();
        state.status.sent[batch.signal as usize] += 1;
        state.status.last_success = Some(Utc::now());
        state.status.rejected += rejected.as_ref().map_or(0, |rejected| rejected.items);
        let is_back = state.status.error.take().is_some();
        // What is logged may come back here for figures.
        drop(state);
        if is_back {
            info!(endpoint = self.endpoint, "telemetry is sent again");
        }
        if let Some(Rejected { items, message }) = rejected {
            let signal = batch.signal.name();
            warn!(
                signal,
                rejected = items,
                reason = message,
                "the receiver rejected a part of the telemetry"
            );
        }
    }

    /// Says it once for each reason.
    pub(super) fn failed(&self, reason: &str) {
        let before = self.lock().status.error.replace(reason.to_owned());
        if before.as_deref() == Some(reason) {
            debug!(reason, "telemetry can still not be sent");
        } else {
            warn!(
                endpoint = self.endpoint,
                reason, "telemetry cannot be sent; it waits in its queue"
            );
        }
    }
}

/// After a failure that `failures` others came before. What the receiver asked for is waited in full: those that were told
/// the same second are spread over the time after it.
fn wait(asked: Option<Duration>, failures: u32, random: u64) -> Duration {
    (asked.unwrap_or_default() + BACKOFF.wait(failures, random)).max(LEAST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_hold_what_the_receiver_asked_for() {
        let second = Duration::from_secs(1);
        assert_eq!(wait(None, 0, 0), LEAST_WAIT, "never a busy loop");
        assert_eq!(wait(None, 0, u64::MAX), second);
        assert_eq!(wait(None, 3, u64::MAX), 8 * second);
        assert_eq!(wait(None, 99, u64::MAX), 120 * second);
        assert_eq!(wait(Some(30 * second), 0, 0), 30 * second);
        assert_eq!(wait(Some(30 * second), 2, u64::MAX), 34 * second);
    }
}
