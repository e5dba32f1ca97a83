//! From the outbox to the server: read, send, and take away what was answered for.

mod batch;
mod dialect;
mod doubt;
mod error;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod hooks;
mod pending;
mod report;
mod round;
mod settings;

pub use error::DeliveryError;
#[cfg(feature = "fuzzing")]
pub use fuzzing::{answer, run};
pub use hooks::{Hooks, OnRejected, OnSnapshotWanted, Refusal};
pub use report::DeliveryReport;
pub use settings::DeliverySettings;

use chrono::{DateTime, TimeDelta, Utc};
use core_model::Queue;
use daemon_kit::Dialect;
use round::Round;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
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
    /// The server does not take this agent's key. It stays until the server has taken records again.
    pub unauthorized: bool,
    /// The last round ended because the server wants a full snapshot.
    pub snapshot_wanted: bool,
    /// When the server last took records.
    pub last_success: Option<DateTime<Utc>>,
    /// After a round that failed: until when nothing is tried.
    pub next_try: Option<DateTime<Utc>>,
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
    hooks: Hooks,
    wake: Arc<Notify>,
    /// The server is back: what failed before is no reason to wait.
    back: Notify,
    status: watch::Sender<DeliveryStatus>,
    /// Records a request that the server can take, learnt from its 413s.
    learned_limit: AtomicUsize,
    /// The last round ended because the server refused everything.
    is_doubted: AtomicBool,
    /// How often a snapshot was wanted since the last round that went well.
    wanted: AtomicU32,
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
        hooks: Hooks,
    ) -> Self {
        let inner = Inner {
            queue,
            client,
            dialect,
            settings,
            hooks,
            wake: Arc::default(),
            back: Notify::new(),
            status: watch::Sender::default(),
            learned_limit: AtomicUsize::new(usize::MAX),
            is_doubted: AtomicBool::new(false),
            wanted: AtomicU32::new(0),
            round: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Wakes [`Delivery::run`]: to be notified by whoever has enqueued something.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.wake)
    }

    /// The server was heard from by another way: it is tried at once, whatever failed before.
    pub fn server_is_back(&self) {
        self.inner.client.heard_from_server();
        self.inner.back.notify_one();
    }

    /// How it goes, updated after each round.
    pub fn status(&self) -> watch::Receiver<DeliveryStatus> {
        self.inner.status.subscribe()
    }

    /// One round: sends what is in the queue until it is empty, until something stops the round, or until `stop` is
    /// cancelled. Then what is under way gets `hand_back_after`; what is not answered by then stays in the queue. Where
    /// another stream is opened meanwhile, it goes on with that one.
    pub async fn deliver_until_empty(&self, stop: &CancellationToken) -> DeliveryReport {
        let _alone = self.inner.round.lock().await;
        let settings = *self.inner.settings.borrow();
        self.inner
            .status
            .send_if_modified(|status| status.next_try.take().is_some());
        let mut report = DeliveryReport::default();
        loop {
            let (later, is_superseded) = Round::new(&self.inner, settings).run(stop).await;
            report = report.followed_by(later);
            if !is_superseded || stop.is_cancelled() {
                break;
            }
        }
        match report.error {
            None => self.inner.wanted.store(0, Relaxed),
            Some(DeliveryError::SnapshotWanted { .. }) => {
                self.inner.wanted.fetch_add(1, Relaxed);
            }
            Some(_) => {}
        }
        self.inner.status.send_modify(|status| status.count(&report));
        report
    }

    /// Delivers until `stop` is cancelled: when woken, and every so often. After a round that failed it waits, longer
    /// each time, or as long as the server asks; where the server wanted a snapshot, until the queue has a new stream.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let before = self.inner.status.borrow().clone();
            let report = self.deliver_until_empty(&stop).await;
            if stop.is_cancelled() {
                return;
            }
            tell(&before, &report);
            let settings = *self.inner.settings.borrow();
            let pause = async {
                match &report.error {
                    None => tokio::select! {
                        () = self.inner.wake.notified() => {}
                        () = time::sleep(settings.interval) => {}
                    },
                    Some(error) => self.wait_after(error, &settings).await,
                }
            };
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn wait_after(&self, error: &DeliveryError, settings: &DeliverySettings) {
        let failures = self.inner.status.borrow().failures;
        let wait = wait(settings, failures, error);
        let until = time::Instant::now() + wait;
        self.inner.status.send_modify(|status| {
            status.next_try = Utc::now().checked_add_signed(TimeDelta::from_std(wait).unwrap_or_default())
        });
        let DeliveryError::SnapshotWanted { stream, .. } = error else {
            // What is enqueued meanwhile is no reason to ask a failing server sooner.
            return tokio::select! {
                () = time::sleep_until(until) => {}
                () = self.inner.back.notified() => {}
            };
        };
        if self.inner.wanted.load(Relaxed) > 1 {
            // It wanted one and did not take it: to hurry would be to send it everything for nothing, again and again.
            return time::sleep_until(until).await;
        }
        while self.inner.queue.stream() == *stream && time::Instant::now() < until {
            tokio::select! {
                () = self.inner.wake.notified() => {}
                () = time::sleep(settings.interval) => {}
                () = time::sleep_until(until) => {}
            }
        }
    }
}

impl DeliveryStatus {
    /// Whether the server would take records now: the last round went well, or the server asked for a full snapshot.
    pub fn is_answering(&self) -> bool {
        self.error.is_none() || self.snapshot_wanted
    }

    fn count(&mut self, report: &DeliveryReport) {
        self.sent += report.sent;
        self.rejected += report.rejected;
        self.damaged += report.damaged;
        self.remaining = report.remaining;
        self.last_success = report.last_success.or(self.last_success);
        self.failures = match report.error {
            Some(_) => self.failures.saturating_add(1),
            None => 0,
        };
        self.error = report.error.as_ref().map(|error| core_model::chain(error));
        self.snapshot_wanted = matches!(report.error, Some(DeliveryError::SnapshotWanted { .. }));
        let is_refused = matches!(report.error, Some(DeliveryError::Unauthorized(_)));
        self.unauthorized = is_refused || (self.unauthorized && report.last_success.is_none());
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
        configured.min(self.learned_limit.load(Relaxed)).max(1)
    }
}

/// Logs what is news.
fn tell(before: &DeliveryStatus, report: &DeliveryReport) {
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
        return;
    };
    let text = core_model::chain(failure);
    let is_known = before.error.as_ref() == Some(&text)
        || (before.unauthorized && matches!(failure, DeliveryError::Unauthorized(_)));
    match (is_known, failure.is_temporary()) {
        (false, true) => warn!(error = text, remaining, "records could not be delivered"),
        (false, false) => error!(error = text, remaining, "records could not be delivered"),
        (true, _) => debug!(error = text, remaining, "records could still not be delivered"),
    }
}

fn wait(settings: &DeliverySettings, failures: u32, error: &DeliveryError) -> Duration {
    // Without randomness the longest wait is the safe one.
    let random = getrandom::u64().unwrap_or(u64::MAX);
    let backoff = match error {
        // Only a person can help here, and that takes its time: ask seldom, from the first time on.
        DeliveryError::Unauthorized(_) => settings.backoff.longest / 2 + settings.backoff.wait(u32::MAX, random) / 2,
        _ => settings.backoff.wait(failures.saturating_sub(1), random),
    };
    // At least so long: a wait by chance close to nothing, time and again, would be a busy loop.
    error
        .retry_after()
        .map_or(Duration::ZERO, |asked| asked + backoff)
        .max(backoff)
        .max(settings.interval.min(settings.least_wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport_http::{SendError, StatusCode};

    fn refused(status: StatusCode) -> SendError {
        SendError::Refused {
            endpoint: String::new(),
            status,
            problem: None,
            retry_after: None,
        }
    }

    #[test]
    fn a_refused_key_is_tried_seldom_from_the_first_time_on() {
        let settings = DeliverySettings::default();
        let error = DeliveryError::Unauthorized(refused(StatusCode::UNAUTHORIZED));
        for _ in 0..100 {
            let wait = wait(&settings, 1, &error);
            assert!(
                (settings.backoff.longest / 2..=settings.backoff.longest).contains(&wait),
                "{wait:?}"
            );
        }
    }

    #[test]
    fn no_wait_is_shorter_than_the_interval_or_than_the_server_asks() {
        let settings = DeliverySettings::default();
        let asked = Duration::from_secs(40);
        let mut busy = refused(StatusCode::TOO_MANY_REQUESTS);
        assert!(wait(&settings, 1, &DeliveryError::Unavailable(busy)) >= settings.interval);
        busy = SendError::BreakerOpen {
            server: String::new(),
            retry_in: asked,
        };
        assert!(wait(&settings, 1, &DeliveryError::Unavailable(busy)) >= asked);
    }
}
