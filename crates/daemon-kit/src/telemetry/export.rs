//! The work as a whole, and its first half: what is recorded goes to the queue.
use super::{OtlpSettings, OtlpSetupError, OtlpStatus, transport::Transport};
use chrono::{TimeDelta, Utc};
use core_model::Queue;
use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use telemetry_otel::{Exporter, export_span};
use tokio::{
    sync::Notify,
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

/// How long lines and spans are held in memory at most: what a crash may cost.
const FLUSH: Duration = Duration::from_secs(5);

/// What the end of the process gives the last batches to arrive; what does not is sent after the next start.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why sending telemetry came to an end.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The queue failed.
    #[error("could not {doing} the telemetry queue")]
    Queue {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A thread at work on the queue ended by a panic.
    #[error("work on the telemetry queue was lost")]
    Lost {
        /// Why.
        source: tokio::task::JoinError,
    },
}

/// How far a sending came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The queue is empty.
    All,
    /// The receiver could not be reached, or did not take a batch: why.
    Failed(String),
    /// It was told to stop.
    Stopped,
}

/// Sends telemetry. Cheap to clone: all clones are one.
pub struct OtlpExport<Q> {
    pub(super) inner: Arc<Inner<Q>>,
}

pub(super) struct Inner<Q> {
    pub(super) exporter: Exporter,
    pub(super) queue: Arc<Q>,
    pub(super) endpoint: String,
    pub(super) transport: Transport,
    interval: Duration,
    pub(super) max_age: TimeDelta,
    state: Mutex<State>,
    /// Something was put into the queue.
    pub(super) queued: Notify,
    /// So much is held in memory that it should go to the queue.
    pressure: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Without the figures of the queue.
    pub(super) status: OtlpStatus,
    /// The batch at the head of the queue, by its first number, and how often the receiver failed on it.
    pub(super) doubts: (u64, u32),
    /// What the receiver asked for when it failed last.
    pub(super) retry_after: Option<Duration>,
}

impl<Q: Queue + 'static> OtlpExport<Q> {
    /// Sends what `exporter` records to the receiver of `settings`, by way of `queue`, which must not be one that blocks
    /// when it is full. `None` where no `endpoint` is set. Connects nowhere yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &OtlpSettings, exporter: Exporter, queue: Arc<Q>) -> Result<Option<Self>, OtlpSetupError> {
        let Some(endpoint) = &settings.endpoint else {
            return Ok(None);
        };
        let pressure = Arc::<Notify>::default();
        let wake = Arc::clone(&pressure);
        exporter.on_pressure(move || wake.notify_one());
        Ok(Some(Self {
            inner: Arc::new(Inner {
                exporter,
                queue,
                transport: Transport::new(settings, endpoint)?,
                endpoint: endpoint.clone(),
                interval: settings.interval.get(),
                max_age: TimeDelta::from_std(settings.queue.max_age.get()).unwrap_or(TimeDelta::MAX),
                state: Mutex::default(),
                queued: Notify::new(),
                pressure,
            }),
        }))
    }

    /// Works until `stop`, and then takes a moment to send the last. An outage of the receiver is no error, nor is a
    /// queue that fails for a while.
    ///
    /// # Errors
    /// Only when a thread was lost; it may be called again.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), OtlpError> {
        let inner = &self.inner;
        let work = async {
            tokio::try_join!(inner.collect(&stop), inner.deliver(&stop))?;
            inner.flush_with_metrics().await?;
            let never = CancellationToken::new();
            // What does not arrive now is in the queue.
            time::timeout(FAREWELL, inner.drain(&never)).await.ok();
            Ok(())
        };
        work.instrument(export_span()).await
    }

    /// Everything recorded so far, the metrics as they stand, and what was in the queue: once, for a process that does
    /// one thing and ends.
    ///
    /// # Errors
    /// When the queue fails; not when the receiver does.
    pub async fn send_once(&self, stop: &CancellationToken) -> Result<Sent, OtlpError> {
        let inner = &self.inner;
        let work = async {
            inner.flush_with_metrics().await?;
            inner.drain(stop).await
        };
        work.instrument(export_span()).await
    }
}

impl<Q: Queue + 'static> Inner<Q> {
    /// Puts what is recorded into the queue, time and again.
    async fn collect(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), OtlpError> {
        let mut flush = time::interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut metrics = time::interval_at(Instant::now() + self.interval, self.interval);
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.pressure.notified() => self.flush().await?,
                _ = flush.tick() => self.flush().await?,
                _ = metrics.tick() => self.flush_with_metrics().await?,
            }
        }
    }

    async fn flush(self: &Arc<Self>) -> Result<(), OtlpError> {
        if self.exporter.stats().held == 0 {
            return Ok(());
        }
        let of_work = Arc::clone(self);
        let flushed = self.ask("write to", move |queue| of_work.exporter.flush(queue, Utc::now()));
        self.flushed(flushed.await)
    }

    async fn flush_with_metrics(self: &Arc<Self>) -> Result<(), OtlpError> {
        let of_work = Arc::clone(self);
        let work = move |queue: &Q| of_work.exporter.flush_with_metrics(queue, Utc::now());
        self.flushed(self.ask("write to", work).await)
    }

    /// What the queue did not take is held for the next time.
    fn flushed(&self, done: Result<usize, OtlpError>) -> Result<(), OtlpError> {
        match done {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.queued.notify_one();
                Ok(())
            }
            Err(error @ OtlpError::Queue { .. }) => {
                self.failed(&format!("{:#}", anyhow::Error::new(error)));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the queue on a thread where it may block.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        doing: &'static str,
        work: impl FnOnce(&Q) -> Result<T, Q::Error> + Send + 'static,
    ) -> Result<T, OtlpError> {
        let (queue, span) = (Arc::clone(&self.queue), Span::current());
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&queue))).await;
        done.map_err(|source| OtlpError::Lost { source })?
            .map_err(|source| OtlpError::Queue {
                doing,
                source: Box::new(source),
            })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Figures are whole after any panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q> Clone for OtlpExport<Q> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<Q> fmt::Debug for OtlpExport<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpExport")
            .field("endpoint", &self.inner.endpoint)
            .finish_non_exhaustive()
    }
}
