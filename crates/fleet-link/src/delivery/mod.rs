//! From the outbox to the server: read, send, and take away what was answered for.

mod batch;
mod dialect;
mod error;
mod pending;
mod round;
mod settings;

pub use error::DeliveryError;
pub use round::DeliveryReport;
pub use settings::DeliverySettings;

use core_model::Queue;
use daemon_kit::Dialect;
use fleet_wire::Rejected;
use round::Round;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use transport_http::Client;

/// A record that the server will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number and the reason.
    pub rejected: Rejected,
    /// The record as it lay in the outbox: JSON, `{"kind", "time", "body"}`.
    pub record: Vec<u8>,
}

/// Told of the refusals of a request before their records leave the outbox. May block. After a crash the same refusal
/// may be told again.
pub type OnRejected = Arc<dyn Fn(&[Refusal]) + Send + Sync>;

/// How delivery goes, for `/health` and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// Records accepted since the start.
    pub sent: u64,
    /// Records refused since the start.
    pub rejected: u64,
    /// Records lost by damage on disk since the start.
    pub damaged: u64,
    /// Records in the outbox after the last round.
    pub remaining: u64,
    /// Rounds that failed in a row.
    pub failures: u32,
    /// Why the last round failed, with all causes.
    pub error: Option<String>,
}

/// Delivers what is in a queue to one server. Clones are the same delivery.
///
/// Every record reaches the server at least once, and leaves the queue only after the server accepted or refused it.
/// Repeats carry the same numbers and, where the same records travel together, the same request id.
pub struct Delivery<Q> {
    inner: Arc<Inner<Q>>,
}

impl<Q> Clone for Delivery<Q> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<Q> {
    queue: Arc<Q>,
    client: Client,
    dialect: Dialect,
    settings: watch::Receiver<DeliverySettings>,
    on_rejected: OnRejected,
    wake: Arc<Notify>,
    status: watch::Sender<DeliveryStatus>,
    /// Records a request that the server can take, learnt from its 413s.
    learned_limit: AtomicUsize,
    /// One round at a time: two would send the same records.
    round: tokio::sync::Mutex<()>,
}

impl<Q: Queue + 'static> Delivery<Q> {
    /// Delivers from `queue` by `client`, in `dialect`. `settings` may change at any time.
    pub fn new(
        queue: Arc<Q>,
        client: Client,
        dialect: Dialect,
        settings: watch::Receiver<DeliverySettings>,
        on_rejected: OnRejected,
    ) -> Self {
        let inner = Inner {
            queue,
            client,
            dialect,
            settings,
            on_rejected,
            wake: Arc::default(),
            status: watch::Sender::default(),
            learned_limit: AtomicUsize::new(usize::MAX),
            round: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Wakes [`Delivery::run`]: to be notified by whoever has enqueued something.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.wake)
    }

    /// How it goes, updated after each round.
    pub fn status(&self) -> watch::Receiver<DeliveryStatus> {
        self.inner.status.subscribe()
    }

    /// One round: sends what is in the queue until it is empty, until something stops the round, or until `stop` is
    /// cancelled. Then what is under way gets `hand_back_after`; what is not answered by then stays in the queue.
    pub async fn deliver_until_empty(&self, stop: &CancellationToken) -> DeliveryReport {
        let _alone = self.inner.round.lock().await;
        let settings = *self.inner.settings.borrow();
        let report = Round::new(&self.inner, settings).run(stop).await;
        self.inner.status.send_modify(|status| {
            status.sent += report.sent;
            status.rejected += report.rejected;
            status.damaged += report.damaged;
            status.remaining = report.remaining;
            status.failures = if report.error.is_some() {
                status.failures.saturating_add(1)
            } else {
                0
            };
            status.error = report.error.as_ref().map(|error| crate::chain(error));
        });
        report
    }

    /// Delivers until `stop` is cancelled: when woken, and every so often. After a round that failed it waits, longer
    /// each time, or as long as the server asks.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let before = self.inner.status.borrow().clone();
            let report = self.deliver_until_empty(&stop).await;
            if stop.is_cancelled() {
                return;
            }
            let failures = tell(&before, &report);
            let settings = *self.inner.settings.borrow();
            match &report.error {
                None => tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.inner.wake.notified() => {}
                    () = time::sleep(settings.interval) => {}
                },
                // What is enqueued meanwhile is no reason to ask a failing server sooner.
                Some(error) => tokio::select! {
                    () = stop.cancelled() => return,
                    () = time::sleep(wait(&settings, failures, error)) => {}
                },
            }
        }
    }
}

impl<Q: Queue + 'static> Inner<Q> {
    /// Asks the queue on a thread where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Q) -> Result<T, Q::Error> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let queue = Arc::clone(&self.queue);
        let done = tokio::task::spawn_blocking(move || work(&queue))
            .await
            .map_err(DeliveryError::Lost)?;
        done.map_err(|source| DeliveryError::Queue {
            doing,
            source: Box::new(source),
        })
    }

    fn limit(&self, configured: usize) -> usize {
        configured.min(self.learned_limit.load(Ordering::Relaxed)).max(1)
    }
}

/// Logs what is news; gives the number of rounds that failed in a row.
fn tell(before: &DeliveryStatus, report: &DeliveryReport) -> u32 {
    let DeliveryReport {
        sent,
        rejected,
        remaining,
        ..
    } = report;
    let Some(failure) = &report.error else {
        if before.error.is_some() {
            info!(sent, "records are delivered again");
        } else if *sent > 0 {
            debug!(sent, rejected, remaining, "records delivered");
        }
        return 0;
    };
    let text = crate::chain(failure);
    let is_news = before.error.as_ref() != Some(&text);
    match (is_news, failure.is_temporary()) {
        (true, true) => warn!(error = text, remaining, "records could not be delivered"),
        (true, false) => error!(error = text, remaining, "records could not be delivered"),
        (false, _) => debug!(error = text, remaining, "records could still not be delivered"),
    }
    before.failures.saturating_add(1)
}

fn wait(settings: &DeliverySettings, failures: u32, error: &DeliveryError) -> Duration {
    // Without randomness the longest wait is the safe one.
    let random = getrandom::u64().unwrap_or(u64::MAX);
    let backoff = settings.backoff.wait(failures.saturating_sub(1), random);
    // At least the interval: a wait by chance close to nothing, time and again, would be a busy loop.
    error
        .retry_after()
        .map_or(Duration::ZERO, |asked| asked + backoff)
        .max(backoff)
        .max(settings.interval)
}
