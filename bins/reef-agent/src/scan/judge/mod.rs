//! What clamd is asked and what it answers: every job ends as one verdict or one failure, whatever becomes of clamd.
mod confirm;
mod converse;
mod handle;
mod prove;
mod run;
mod see;
mod settle;

use super::{
    account::End,
    engine::EngineSettings,
    error::ScanError,
    handing::InHand,
    job::Job,
    links::Links,
    progress::Progress,
    proof::Proofs,
    sight::{self, Sights},
    throttle::{Governor, Pace},
};
use crate::settings::Throttle;
use clamd_proto::{ClamError, Daemon, Endpoint, Session, SessionOptions, Timeouts, Version};
use core_model::chain;
use handle::Handled;
use see::Seen;
use state_sqlite::{BasisId, DirKey, Judged, Verdicts};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Between two attempts to reach a clamd that went away.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Files under way where clamd does not say how many threads it has.
const WINDOW: usize = 32;
/// Files under way for each thread of clamd.
const FOR_EACH_THREAD: usize = 4;
/// With few threads there are twice as many, up to this: answers about those that wait for a thread can gather.
const FOR_FEW_THREADS: usize = 32;
/// As long as so many are under way for each thread, clamd has something to do.
const BUSY: usize = 2;
/// So much malware is read and taken away at once: what takes long is the disk, which writes several as quickly as one.
const HANDS: usize = 8;
/// So much may wait for that, each with an open file; then clamd is asked about no more.
const HANDLED_MOST: usize = 64;
/// How long STATS may take: clamd answers it only when a thread has nothing to scan.
const STATS_WITHIN: Duration = Duration::from_secs(2);

/// Hears of what became of each job.
pub(super) trait Sink {
    /// A file ended so, and why where nobody can say whether it is clean.
    fn ended(&mut self, path: &[u8], end: End, bytes: u64, reason: Option<&str>);
    /// Malware was found, and what was to be done about it was done.
    fn found(&mut self, detection: super::Detection);
    /// So many files changed while clamd read them: judged as they were read, and not remembered.
    fn moved(&mut self, files: u64);
}

/// What is sent to the judge.
#[derive(Debug)]
pub(super) enum Sent {
    /// A file for clamd.
    Ask(Box<Job>),
    /// A file that ended without clamd, for whoever hears of each.
    Ended {
        /// The file.
        path: Box<[u8]>,
        /// How.
        end: End,
        /// Its length.
        bytes: u64,
        /// Why, where nobody can say whether it is clean.
        reason: Option<String>,
    },
}

impl Sent {
    /// A file that ended without clamd.
    pub(super) fn ended(path: &[u8], end: End, bytes: u64, reason: Option<String>) -> Self {
        Self::Ended {
            path: path.into(),
            end,
            bytes,
            reason,
        }
    }
}

/// What a judge is made of.
pub(super) struct Bench {
    /// Settings, and what becomes of them.
    pub(super) settings: watch::Receiver<Arc<EngineSettings>>,
    /// What is remembered.
    pub(super) verdicts: Option<Verdicts>,
    /// The same where malware is forgotten, also where nothing is to be remembered.
    pub(super) known: Option<Verdicts>,
    /// Files with several names.
    pub(super) links: Arc<Links>,
    /// Up to which length clamd looks at files.
    pub(super) proofs: Arc<Proofs>,
    /// Whether it detects.
    pub(super) sights: Arc<Sights>,
    /// Counters.
    pub(super) progress: Arc<Progress>,
    /// How many files it has in hand.
    pub(super) in_hand: InHand,
    /// How much of the machine it may take: asked again whenever the settings change.
    pub(super) throttle: Box<dyn Fn(&EngineSettings) -> Throttle + Send + Sync>,
    /// How long it waits for a clamd that went away; for ever without.
    pub(super) patience: Option<Duration>,
    /// Raised when the walk shall end, since nobody judges any more.
    pub(super) halt: Arc<AtomicBool>,
    /// Nothing more is to be asked.
    pub(super) stop: CancellationToken,
}

/// Asks clamd about files.
pub(super) struct Judge<S> {
    bench: Bench,
    /// What the session at hand goes by.
    now: Arc<EngineSettings>,
    /// What the next one will.
    next: Option<Arc<EngineSettings>>,
    endpoint: Endpoint,
    daemon: Daemon,
    sink: S,
    window: usize,
    governor: Governor,
    pace: Pace,
    /// So many files keep clamd busy.
    busy: usize,
    /// It is known what clamd judges by, and how much at a time.
    is_prepared: bool,
    /// By the settings to come, clamd is elsewhere: the session at hand is the last one there.
    is_elsewhere: bool,
    basis: Option<BasisId>,
    version: Option<Version>,
    /// Judged since the basis was last confirmed.
    unconfirmed: BTreeMap<DirKey, Vec<Judged>>,
    confirmed_at: Option<Instant>,
    /// Whether clamd detects.
    seen: Seen,
    /// To be asked about: what was handed over, and what was asked about in vain.
    queue: VecDeque<Box<Job>>,
    /// A file is under way that nothing else is to be asked about with.
    is_alone: bool,
    /// A file of so many bytes waits until it is known whether clamd looks at files so long.
    wants_proof: Option<u64>,
    /// So many files had no verdict, since the scan was stopped.
    cut_off: u64,
    handling: JoinSet<Result<Handled, JoinError>>,
    /// So much malware is taken away at once.
    hands: Arc<Semaphore>,
    gave_up: Option<String>,
}

impl<S: Sink> Judge<S> {
    /// Asks nobody yet: clamd is found with the first job.
    ///
    /// # Errors
    /// When the endpoint cannot be understood.
    pub(super) fn new(mut bench: Bench, sink: S) -> Result<Self, ScanError> {
        let now = bench.settings.borrow_and_update().clone();
        let (endpoint, daemon) = reach(&now)?;
        let throttle = (bench.throttle)(&now);
        let window = now.clamd.window.map_or(WINDOW, usize::from);
        let threads = window.div_ceil(FOR_EACH_THREAD);
        Ok(Self {
            governor: Governor::new(throttle, window, threads, Arc::clone(&bench.progress)),
            bench,
            pace: Pace::new(),
            busy: threads * BUSY,
            now,
            next: None,
            endpoint,
            daemon,
            sink,
            window,
            is_prepared: false,
            is_elsewhere: false,
            basis: None,
            version: None,
            unconfirmed: BTreeMap::new(),
            confirmed_at: None,
            seen: Seen::default(),
            queue: VecDeque::new(),
            is_alone: false,
            wants_proof: None,
            cut_off: 0,
            handling: JoinSet::new(),
            hands: Arc::new(Semaphore::new(HANDS)),
            gave_up: None,
        })
    }

    /// Finds out what clamd judges by, and how much at a time. That nothing can be remembered does not keep it from judging.
    ///
    /// # Errors
    /// When clamd is not there.
    pub(super) async fn prepare(&mut self) -> Result<(), ScanError> {
        self.daemon.ping().await.map_err(ScanError::Clamd)?;
        let (window, threads) = window(&self.daemon, &self.now).await;
        let throttle = (self.bench.throttle)(&self.now);
        self.window = window;
        self.busy = threads * BUSY;
        self.governor = Governor::new(throttle, window, threads, Arc::clone(&self.bench.progress));
        match self.confirm_seen().await {
            Err(error @ ScanError::Clamd(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "what is judged is not remembered, until it can be"
                );
            }
            Ok(()) => {}
        }
        self.is_prepared = true;
        Ok(())
    }

    /// A clamd that was not found to detect lately is tried before it is asked about a file.
    async fn confirm_seen(&mut self) -> Result<(), ScanError> {
        let confirmed = self.confirm().await;
        if matches!(confirmed, Err(ScanError::Clamd(_))) || self.is_proved(sight::AT_FIRST) {
            return confirmed;
        }
        self.see(sight::AT_FIRST).await?;
        self.confirm().await
    }

    /// What judges.
    pub(super) const fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// How many files are asked about at once, at the most.
    pub(super) const fn window(&self) -> usize {
        self.window
    }

    fn is_stopped(&self) -> bool {
        self.bench.stop.is_cancelled()
    }

    /// A session, as soon as clamd gives one; `None` when it was away for too long, or it is to stop.
    async fn connect(&mut self) -> Option<Session<Box<Job>>> {
        let since = Instant::now();
        let mut is_said = false;
        loop {
            self.follow_settings();
            let ready = match self.prepare_once().await {
                Ok(()) => match self.see(sight::MEANWHILE).await {
                    Ok(()) => self.prove().await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            let opened = match ready {
                Ok(()) => Session::open(&self.endpoint, self.options())
                    .await
                    .map_err(ScanError::Clamd),
                Err(error) => Err(error),
            };
            let error = match opened {
                Ok(session) => {
                    if is_said {
                        tracing::info!(after = ?since.elapsed(), "clamd is back: the scan goes on");
                    }
                    return Some(session);
                }
                Err(error) => error,
            };
            let is_over = self.bench.patience.is_some_and(|most| since.elapsed() >= most);
            if is_over || self.is_stopped() || self.bench.halt.load(Ordering::Relaxed) {
                self.gave_up = Some(error.in_the_middle());
                return None;
            }
            if !std::mem::replace(&mut is_said, true) {
                tracing::warn!(error = error.in_the_middle(), "clamd is away: the scan waits for it");
            }
            self.wait(AGAIN_AFTER).await;
        }
    }

    /// Nothing is sent before clamd has answered once: whoever takes connections in the place of one that is away, and hangs
    /// up, would cost each file one of its tries.
    async fn prepare_once(&mut self) -> Result<(), ScanError> {
        if self.is_prepared {
            return self.daemon.ping().await.map_err(ScanError::Clamd);
        }
        self.prepare().await
    }

    fn options(&self) -> SessionOptions {
        SessionOptions {
            reply: self.now.clamd.scan_timeout.get(),
            window: self.window,
            stream_max: self.now.clamd.stream_max_length.bytes(),
            ..SessionOptions::default()
        }
    }

    /// Waits so long, or until it is to stop or to go by other settings; what becomes of malware meanwhile is heard of.
    async fn wait(&mut self, long: Duration) {
        let until = sleep(long);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                () = self.bench.stop.cancelled() => return,
                Ok(()) = self.bench.settings.changed() => {
                    self.adopt_settings();
                    return;
                }
                Some(handled) = self.handling.join_next() => self.take(handled),
            }
        }
    }

    /// Goes by the settings as they are now, if they are others. Between two sessions only.
    fn follow_settings(&mut self) {
        if self.bench.settings.has_changed().unwrap_or(false) {
            self.adopt_settings();
        }
        let Some(next) = self.next.take() else { return };
        self.is_prepared &= !self.is_elsewhere && next.clamd.window == self.now.clamd.window;
        self.is_elsewhere = false;
        self.now = next;
        // What cannot be read as an endpoint is refused with the configuration.
        if let Ok((endpoint, daemon)) = reach(&self.now) {
            (self.endpoint, self.daemon) = (endpoint, daemon);
        }
    }

    /// Goes by other settings, as far as that can be while a session lasts: what it judges is judged by the clamd that it is
    /// with, and remembered by what that one says.
    fn adopt_settings(&mut self) {
        let next = self.bench.settings.borrow_and_update().clone();
        self.governor.set_throttle((self.bench.throttle)(&next));
        self.is_elsewhere = reach(&next).is_ok_and(|(endpoint, _)| endpoint != self.endpoint);
        self.next = Some(next);
    }
}

/// Where clamd is, and one to ask single things.
fn reach(settings: &EngineSettings) -> Result<(Endpoint, Daemon), ScanError> {
    let endpoint: Endpoint = settings.clamd.endpoint.parse().map_err(ScanError::Endpoint)?;
    let daemon = Daemon::new(endpoint.clone()).timeouts(Timeouts {
        stats: STATS_WITHIN,
        ..Timeouts::default()
    });
    Ok((endpoint, daemon))
}

/// How many files a clamd of so many threads is asked about at once, where nothing else is said.
pub(crate) fn window_for(threads: usize) -> usize {
    let for_few = (threads * FOR_EACH_THREAD * 2).min(FOR_FEW_THREADS);
    (threads * FOR_EACH_THREAD).max(for_few).clamp(8, 256)
}

/// How many files are asked about at once, and how many threads clamd has.
async fn window(daemon: &Daemon, settings: &EngineSettings) -> (usize, usize) {
    let stats = daemon.stats().await.ok();
    let threads = stats.and_then(|stats| {
        let most = stats.pools.iter().map(|pool| pool.threads.max).max()?;
        usize::try_from(most).ok().filter(|most| *most > 0)
    });
    let window = match (settings.clamd.window, threads) {
        (Some(window), _) => usize::from(window),
        (None, Some(threads)) => window_for(threads),
        (None, None) => WINDOW,
    };
    // So many threads there are as far as anybody knows.
    (window, threads.unwrap_or(window.div_ceil(FOR_EACH_THREAD)))
}

/// clamd's answer to a job, whose tag it is.
type Answer = Result<clamd_proto::Verdict, ClamError>;
