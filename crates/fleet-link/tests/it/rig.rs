//! An agent: a queue in a SQLite file, and its delivery to one server.
use chrono::{DateTime, TimeZone, Utc};
use core_model::{Backoff, BreakerSettings, Queue, QueueStats, QueuedRun, Run, SeqRange, StreamId};
use daemon_kit::Dialect;
use fleet_link::{Delivery, DeliveryReport, DeliverySettings, Hooks, Refusal};
use state_sqlite::{Database, OpenOptions, Outbox, StateError};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, ensure_crypto_provider};

/// The outbox itself, which also says when something left it, so that tests need not look again and again.
pub(crate) struct Watched {
    outbox: Outbox,
    left: watch::Sender<u64>,
}

impl Queue for Watched {
    type Error = StateError;

    fn stream(&self) -> StreamId {
        self.outbox.stream()
    }

    fn enqueue(&self, runs: &[Run], now: DateTime<Utc>) -> Result<Option<SeqRange>, StateError> {
        self.outbox.enqueue(runs, now)
    }

    fn peek(&self, stream: StreamId, after: u64, max_runs: usize) -> Result<Vec<QueuedRun>, StateError> {
        self.outbox.peek(stream, after, max_runs)
    }

    fn ack(&self, stream: StreamId, first_seqs: &[u64]) -> Result<(), StateError> {
        self.outbox.ack(stream, first_seqs)?;
        self.left.send_replace(self.outbox.stats()?.runs);
        Ok(())
    }

    fn stats(&self) -> Result<QueueStats, StateError> {
        self.outbox.stats()
    }
}

impl Watched {
    /// Opens a stream that begins as every stream does, and names these files in it.
    pub(crate) fn open_stream(&self, paths: &[String]) -> StreamId {
        let begin = Run {
            records: 1,
            body: record("snapshot.begin", r#"{"reason":"wanted"}"#),
        };
        let stream = self.outbox.open_stream(&begin, noon()).unwrap();
        let mut body = files("file.present", paths);
        body.extend(record("snapshot.end", "{}"));
        let records = u32::try_from(paths.len()).unwrap() + 1;
        self.outbox.enqueue(&[Run { records, body }], noon()).unwrap();
        stream
    }
}

/// What a test does when a snapshot is wanted.
type Answer = Box<dyn FnMut(&Watched) + Send>;

pub(crate) struct Rig {
    _dir: TempDir,
    pub(crate) queue: Arc<Watched>,
    pub(crate) delivery: Delivery<Watched>,
    pub(crate) settings: watch::Sender<DeliverySettings>,
    refusals: Arc<Mutex<Vec<Refusal>>>,
    /// Streams of which the server wanted a snapshot.
    pub(crate) snapshots: Arc<Mutex<Vec<StreamId>>>,
    answer: Arc<Mutex<Option<Answer>>>,
}

/// Waits of next to nothing.
pub(crate) fn impatient() -> DeliverySettings {
    DeliverySettings {
        backoff: Backoff {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
        },
        hand_back_after: Duration::from_millis(1),
        ..DeliverySettings::default()
    }
}

/// A client that repeats once, after next to nothing, and whose breaker stays closed.
pub(crate) fn client(url: &str) -> Client {
    Client::new(client_settings(url)).unwrap()
}

pub(crate) fn client_settings(url: &str) -> ClientSettings {
    ensure_crypto_provider();
    let mut settings = ClientSettings::new(url.parse().unwrap());
    settings.api_key = Some(core_model::Secret::new("agent-key").into());
    settings.retry_attempts = 1;
    settings.max_parallel = 5;
    settings.backoff = Backoff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };
    settings.breaker = BreakerSettings {
        window: 1000,
        ..BreakerSettings::default()
    };
    settings
}

impl Rig {
    /// With runs of these lengths in the queue.
    pub(crate) fn new(url: &str, runs: &[u32]) -> Self {
        Self::with(url, runs, impatient())
    }

    pub(crate) fn with(url: &str, runs: &[u32], settings: DeliverySettings) -> Self {
        let rig = Self::speaking(Dialect::Shoal, url, settings);
        rig.enqueue(runs);
        rig
    }

    pub(crate) fn speaking(dialect: Dialect, url: &str, settings: DeliverySettings) -> Self {
        Self::by(client(url), dialect, settings)
    }

    pub(crate) fn by(client: Client, dialect: Dialect, settings: DeliverySettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&dir.path().join("state.db"), OpenOptions::default()).unwrap();
        let queue = Arc::new(Watched {
            outbox: Outbox::open(&database).unwrap(),
            left: watch::Sender::new(u64::MAX),
        });
        let refusals = Arc::<Mutex<Vec<Refusal>>>::default();
        let told = Arc::clone(&refusals);
        let snapshots = Arc::<Mutex<Vec<StreamId>>>::default();
        let lost = Arc::clone(&snapshots);
        let answer = Arc::<Mutex<Option<Answer>>>::default();
        let (asked, answering) = (Arc::clone(&queue), Arc::clone(&answer));
        let settings = watch::Sender::new(settings);
        let delivery = Delivery::new(
            Arc::clone(&queue),
            client,
            dialect,
            settings.subscribe(),
            Hooks {
                on_rejected: Arc::new(move |refusals| told.lock().unwrap().extend_from_slice(refusals)),
                on_snapshot_wanted: Arc::new(move |stream| {
                    lost.lock().unwrap().push(stream);
                    if let Some(answer) = &mut *answering.lock().unwrap() {
                        answer(&asked);
                    }
                }),
            },
        );
        Self {
            _dir: dir,
            queue,
            delivery,
            settings,
            refusals,
            snapshots,
            answer,
        }
    }

    /// Runs of these lengths; record number n is about `/data/n`.
    pub(crate) fn enqueue(&self, runs: &[u32]) {
        let mut seq = self.queue.stats().unwrap().last_seq;
        let runs: Vec<Run> = runs
            .iter()
            .map(|records| {
                let mut body = Vec::new();
                for _ in 0..*records {
                    seq += 1;
                    body.extend(record("file.deleted", &format!(r#"{{"path":"/data/{seq}"}}"#)));
                }
                Run {
                    records: *records,
                    body,
                }
            })
            .collect();
        self.queue.enqueue(&runs, noon()).unwrap();
    }

    /// Runs that create these files, so many in each.
    pub(crate) fn create(&self, paths: &[String], each: usize) {
        let runs: Vec<Run> = paths
            .chunks(each)
            .map(|paths| Run {
                records: u32::try_from(paths.len()).unwrap(),
                body: files("file.created", paths),
            })
            .collect();
        self.queue.enqueue(&runs, noon()).unwrap();
    }

    /// What to do from now on when a snapshot is wanted.
    pub(crate) fn when_wanted(&self, answer: impl FnMut(&Watched) + Send + 'static) {
        *self.answer.lock().unwrap() = Some(Box::new(answer));
    }

    /// A run of this body, whatever it says.
    pub(crate) fn enqueue_raw(&self, records: u32, body: &[u8]) {
        let body = body.to_vec();
        self.queue.enqueue(&[Run { records, body }], noon()).unwrap();
    }

    pub(crate) async fn deliver(&self) -> DeliveryReport {
        self.delivery.deliver_until_empty(&CancellationToken::new()).await
    }

    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = self.refusals.lock().unwrap().clone();
        refusals.sort_by_key(|refusal| refusal.rejected.seq);
        refusals
    }

    /// Until so many runs are left after an acknowledgement.
    pub(crate) async fn until_runs(&self, left: u64) {
        self.queue
            .left
            .subscribe()
            .wait_for(|runs| *runs == left)
            .await
            .unwrap();
    }
}

/// `/data/first` to `/data/last`.
pub(crate) fn paths(first: u64, last: u64) -> Vec<String> {
    (first..=last).map(|number| format!("/data/{number}")).collect()
}

fn files(kind: &str, paths: &[String]) -> Vec<u8> {
    let line = |path: &String| {
        record(
            kind,
            &format!(r#"{{"path":"{path}","type":"file","size":3,"mtime":"2026-11-20T08:00:00Z"}}"#),
        )
    };
    paths.iter().flat_map(line).collect()
}

/// A line of a run.
pub(crate) fn record(kind: &str, body: &str) -> Vec<u8> {
    format!("{{\"kind\":\"{kind}\",\"time\":\"2026-11-21T12:00:00Z\",\"body\":{body}}}\n").into_bytes()
}

pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap()
}
