//! A client that keeps a few sessions, and tries again what was lost.
use crate::{
    api::ClamAvClient,
    content::Content,
    daemon::{Daemon, Timeouts},
    driver::{Driver, Job},
    endpoint::Endpoint,
    error::{ClamError, ErrorKind},
    session::{Request, SessionOptions},
    stats::Stats,
    verdict::Verdict,
    version::Version,
};
use std::{
    collections::hash_map::RandomState,
    fs::File,
    hash::{BuildHasher, Hasher},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Of each session.
    pub session: SessionOptions,
    /// How many sessions there may be at once. One suffices for passed descriptors; streams go one after the other on
    /// each. clamd counts connections in its `MaxQueue`.
    pub sessions: usize,
    /// How long a session without work is kept. clamd counts it in its `MaxQueue` while it is, so this is short, and far
    /// below clamd's `ReadTimeout`.
    pub idle: Duration,
    /// Of commands other than scans.
    pub timeouts: Timeouts,
    /// What is done about what was lost.
    pub retry: Retry,
    /// For how long after a RELOAD silence is taken for loading.
    pub reload: Duration,
}

/// How often, and how soon, what was lost is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many times more.
    pub times: u32,
    /// The most to wait before the first of them; each next doubles it. The wait is random below that.
    pub first: Duration,
    /// What no wait passes.
    pub longest: Duration,
}

impl Default for ClientOptions {
    /// Two sessions, each kept for a second; and the other types' own.
    fn default() -> Self {
        Self {
            session: SessionOptions::default(),
            sessions: 2,
            idle: Duration::from_secs(1),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            reload: Duration::from_secs(120),
        }
    }
}

impl Default for Retry {
    /// Four times, after up to 100 ms, 200 ms, 400 ms and 800 ms: about the time in which a small clamd is back.
    fn default() -> Self {
        Self {
            times: 4,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

impl Retry {
    fn wait(&self, attempt: u32) -> Duration {
        let most = 2u32
            .checked_pow(attempt)
            .and_then(|factor| self.first.checked_mul(factor));
        let most = most.unwrap_or(self.longest).min(self.longest);
        // The standard library's hasher is keyed at random, which is random enough to part a crowd.
        let random = RandomState::new().build_hasher().finish();
        most.mul_f64(random as f64 / u64::MAX as f64)
    }
}

/// The real clamd, by a few pipelined sessions. It can be cloned, and all clones share them.
///
/// [`Client::new`] gives a [`Driver`] too, in which the sessions live: somebody must run it. When that ends, requests
/// end in [`ClamError::Stopped`].
#[derive(Clone, Debug)]
pub struct Client {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    daemon: Daemon,
    options: ClientOptions,
    /// When clamd was last told to reload.
    reloaded: Mutex<Option<Instant>>,
}

impl Client {
    /// A client of the clamd at `endpoint`. Nothing is connected before there is something to scan.
    pub fn new(endpoint: Endpoint, options: ClientOptions) -> (Self, Driver) {
        let (jobs, queue) = mpsc::channel(options.session.window.max(1));
        let shared = Shared {
            daemon: Daemon::new(endpoint.clone()).timeouts(options.timeouts),
            options,
            reloaded: Mutex::new(None),
        };
        let client = Self {
            jobs,
            shared: Arc::new(shared),
        };
        (client, Driver::new(endpoint, options, queue))
    }

    /// What asks clamd one thing a connection.
    pub fn daemon(&self) -> &Daemon {
        &self.shared.daemon
    }

    /// How it behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    /// One attempt by a pooled session.
    async fn attempt(&self, request: Request) -> Result<Verdict, ClamError> {
        let (answer, answered) = oneshot::channel();
        let job = Job { request, answer };
        self.jobs.send(job).await.map_err(|_| ClamError::Stopped)?;
        answered.await.unwrap_or(Err(ClamError::Stopped))
    }

    /// Tries again what was lost with its connection. What was never begun, because clamd is down, is for the caller.
    async fn scan(&self, make: impl Fn() -> Option<Request> + Send + Sync) -> Result<Verdict, ClamError> {
        let mut attempt = 0;
        let mut request = make();
        let mut outcome = Err(ClamError::Stopped);
        while let Some(now) = request.take() {
            // A stream above clamd's own limit takes with it what shares its connection, so it gets one to itself.
            let alone = attempt > 0 && matches!(now, Request::Stream(_));
            outcome = if alone {
                self.shared.daemon.scan(now, self.shared.options.session).await
            } else {
                self.attempt(now).await
            };
            let Err(error) = &outcome else { break };
            let again = match error.kind() {
                ErrorKind::Lost | ErrorKind::Busy => true,
                // Gone after it was there: it may be on its way back.
                ErrorKind::Down => attempt > 0,
                _ => false,
            };
            if !again || attempt >= self.shared.options.retry.times {
                break;
            }
            tracing::debug!(%error, attempt, "a scan was lost and is tried again");
            sleep(self.shared.options.retry.wait(attempt)).await;
            attempt += 1;
            request = make();
        }
        outcome.map_err(|error| self.explained(error))
    }

    /// Silence soon after a RELOAD is loading.
    fn explained(&self, error: ClamError) -> ClamError {
        let reloaded = *self.shared.reloaded.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = reloaded.is_some_and(|at| at.elapsed() < self.shared.options.reload);
        match error {
            ClamError::Busy { .. } | ClamError::TimedOut { .. } if is_soon => ClamError::Reloading {
                endpoint: self.shared.daemon.endpoint().clone(),
            },
            other => other,
        }
    }
}

impl ClamAvClient for Client {
    async fn ping(&self) -> Result<(), ClamError> {
        self.shared.daemon.ping().await.map_err(|error| self.explained(error))
    }

    async fn version(&self) -> Result<Version, ClamError> {
        self.shared
            .daemon
            .version()
            .await
            .map_err(|error| self.explained(error))
    }

    async fn stats(&self) -> Result<Stats, ClamError> {
        self.shared.daemon.stats().await.map_err(|error| self.explained(error))
    }

    async fn reload(&self) -> Result<(), ClamError> {
        self.shared
            .daemon
            .reload()
            .await
            .map_err(|error| self.explained(error))?;
        *self.shared.reloaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    async fn scan_file(&self, file: Arc<File>) -> Result<Verdict, ClamError> {
        self.scan(|| Some(Request::File(Arc::clone(&file)))).await
    }

    async fn scan_path(&self, path: PathBuf) -> Result<Verdict, ClamError> {
        self.scan(|| Some(Request::Path(path.clone()))).await
    }

    async fn scan_stream(&self, content: Content) -> Result<Verdict, ClamError> {
        match content.again() {
            Some(content) => self.scan(|| content.again().map(Request::Stream)).await,
            None => {
                let outcome = self.attempt(Request::Stream(content)).await;
                outcome.map_err(|error| self.explained(error))
            }
        }
    }
}
