//! Takes what is recorded, and hands it to a queue in requests that are ready to be sent.
use super::{
    Batch, ExportSettings, Signal, attributes,
    buffer::{Buffer, MAX_BYTES},
    encode,
    points::Reader,
};
use chrono::{DateTime, Utc};
use core_model::{Queue, Run};
use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope, logs::v1::LogRecord, resource::v1::Resource, trace::v1::Span,
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Where the layers find the exporter, once there is one.
pub(crate) type Slot = Arc<OnceLock<Exporter>>;

/// Holds what is to leave by OTLP until it is put into a queue. It never waits: not for a network, of which it knows
/// nothing, nor for a disk, which is touched only by whoever calls [`Exporter::flush`]. Cheap to clone: all clones are
/// one.
///
/// What is recorded and not flushed is lost with the process, so flush often, and at the end.
#[derive(Clone)]
pub struct Exporter {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Mutex<ExportSettings>,
    has: [bool; 3],
    buffer: Mutex<Buffer>,
    readers: Mutex<Vec<Reader>>,
    /// Requests that a queue has not taken yet. Locked while it takes them, which may be long.
    waiting: Mutex<VecDeque<(Run, u64)>>,
    /// What is in them, for whoever must not wait.
    waiting_items: AtomicU64,
    /// What was given up of them.
    waiting_dropped: AtomicU64,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What an exporter holds and what it gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportStats {
    /// Lines and spans that are in no queue yet.
    pub held: u64,
    /// Lines, spans and metrics that were dropped because no queue took them in time.
    pub dropped: u64,
}

impl Exporter {
    /// Holds nothing yet. Lines and runs come from [`Telemetry::export`](crate::Telemetry::export), metrics from
    /// [`Metrics::with_export`](crate::Metrics::with_export).
    pub fn new(settings: ExportSettings) -> Self {
        let has = Signal::ALL.map(|signal| settings.signals.contains(&signal));
        Self {
            inner: Arc::new(Inner {
                settings: Mutex::new(settings),
                has,
                buffer: Mutex::default(),
                readers: Mutex::default(),
                waiting: Mutex::default(),
                waiting_items: AtomicU64::new(0),
                waiting_dropped: AtomicU64::new(0),
                wake: OnceLock::new(),
            }),
        }
    }

    /// The agent's id from now on, for a process that learns it after its start.
    pub fn set_instance_id(&self, id: impl Into<String>) {
        lock(&self.inner.settings).instance_id = Some(id.into());
    }

    /// Calls `wake` whenever so much is held that it should be flushed before its time. It is called where something is
    /// logged, so it must neither log nor wait. Once: a second one is not called.
    pub fn on_pressure(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.inner.wake.set(Box::new(wake)).ok();
    }

    /// What is held and what was dropped.
    pub fn stats(&self) -> ExportStats {
        let (held, dropped) = {
            let buffer = lock(&self.inner.buffer);
            (buffer.len(), buffer.dropped())
        };
        ExportStats {
            held: held + self.inner.waiting_items.load(Relaxed),
            dropped: dropped + self.inner.waiting_dropped.load(Relaxed),
        }
    }

    /// Puts the lines and spans recorded so far into `queue`, in one transaction, and says how many requests they made.
    /// May block on a disk.
    ///
    /// # Errors
    /// When the queue does not take them; they are held for the next time, within a bound.
    pub fn flush<Q: Queue>(&self, queue: &Q, now: DateTime<Utc>) -> Result<usize, Q::Error> {
        self.hand_over(queue, Vec::new(), now)
    }

    /// The same with the metrics as they stand now.
    ///
    /// # Errors
    /// As of [`flush`](Exporter::flush).
    pub fn flush_with_metrics<Q: Queue>(&self, queue: &Q, now: DateTime<Utc>) -> Result<usize, Q::Error> {
        let mut metrics = Vec::new();
        if self.has(Signal::Metrics) {
            // Reading calls back into the program, so no lock is held.
            let readers = lock(&self.inner.readers).clone();
            let scopes = readers.iter().flat_map(Reader::read).collect();
            metrics.extend(encode::metrics(&self.resource().0, scopes));
        }
        self.hand_over(queue, metrics, now)
    }

    fn hand_over<Q: Queue>(
        &self,
        queue: &Q,
        metrics: Vec<(Batch, u64)>,
        now: DateTime<Utc>,
    ) -> Result<usize, Q::Error> {
        let mut waiting = lock(&self.inner.waiting);
        let (logs, spans) = lock(&self.inner.buffer).take();
        let (resource, scope) = self.resource();
        let batches = encode::logs(&resource, &scope, logs)
            .into_iter()
            .chain(encode::spans(&resource, &scope, spans))
            .chain(metrics);
        waiting.extend(batches.map(|(batch, items)| (batch.into_run(items), items)));
        let dropped = shorten(&mut waiting);
        self.inner.waiting_dropped.fetch_add(dropped, Relaxed);
        let runs: Vec<Run> = waiting.iter().map(|(run, _)| run.clone()).collect();
        if !runs.is_empty() {
            let items = waiting.iter().map(|(_, items)| items).sum();
            self.inner.waiting_items.store(items, Relaxed);
            queue.enqueue(&runs, now)?;
            waiting.clear();
            self.inner.waiting_items.store(0, Relaxed);
        }
        Ok(runs.len())
    }

    fn resource(&self) -> (Resource, InstrumentationScope) {
        let settings = lock(&self.inner.settings);
        let resource = Resource {
            attributes: settings
                .resource()
                .iter()
                .map(|(name, value)| attributes::text(name, value))
                .collect(),
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: settings.service.clone(),
            version: settings.version.clone(),
            ..InstrumentationScope::default()
        };
        (resource, scope)
    }

    pub(crate) fn has(&self, signal: Signal) -> bool {
        self.inner.has[signal as usize]
    }

    pub(crate) fn log(&self, record: LogRecord) {
        let is_pressed = lock(&self.inner.buffer).log(record);
        self.wake(is_pressed);
    }

    pub(crate) fn span(&self, span: Span) {
        let is_pressed = lock(&self.inner.buffer).span(span);
        self.wake(is_pressed);
    }

    pub(crate) fn read_from(&self, reader: Reader) {
        lock(&self.inner.readers).push(reader);
    }

    fn wake(&self, is_pressed: bool) {
        if let Some(wake) = self.inner.wake.get().filter(|_| is_pressed) {
            wake();
        }
    }
}

/// Gives up the oldest where a queue takes nothing for long, and says how many lines, spans and metrics they held.
fn shorten(waiting: &mut VecDeque<(Run, u64)>) -> u64 {
    let mut bytes: usize = waiting.iter().map(|(run, _)| run.body.len()).sum();
    let mut dropped = 0;
    while bytes > MAX_BYTES * 2
        && let Some((run, items)) = waiting.pop_front()
    {
        bytes -= run.body.len();
        dropped += items;
    }
    dropped
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("stats", &self.stats()).finish()
    }
}

/// What these locks guard is whole after any panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
