//! What clamd is asked and what it answers: every job ends as one verdict or one failure, whatever becomes of clamd.
use super::{
    account::{Account, End},
    basis,
    detection::{Detection, sha256},
    failures::Failures,
    visit::{Job, facts},
};
use crate::{
    quarantine::{Quarantine, Taken},
    settings::ClamdSettings,
};
use chrono::Utc;
use clamd_proto::{
    ClamError, Content, Daemon, Endpoint, Request, Session, SessionOptions, Stats, Timeouts, Verdict, Version,
};
use fsscan::FileStat;
use state_sqlite::{BasisId, DirKey, Judged, Judgement, Verdicts};
use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// How often it is asked whether clamd still judges by the same signatures: what is judged waits so long to be remembered.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts to reach a clamd that went away.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// So often one file is asked about before it counts as failed: one that ends clamd each time must not do so for ever.
const TRIES: u8 = 5;
/// Files under way for each thread of clamd.
const FOR_EACH_THREAD: usize = 4;

/// What came of the files that went to clamd.
#[derive(Default)]
pub(super) struct Judgements {
    pub(super) account: Account,
    pub(super) failures: Failures,
    pub(super) detections: Vec<Detection>,
    /// Why clamd was given up.
    pub(super) gave_up: Option<String>,
    /// Files that changed while clamd read them: judged as they were read, and not remembered.
    pub(super) moved: u64,
    /// What judged, in the end.
    pub(super) version: Option<Version>,
}

/// Asks clamd about files.
pub(super) struct Judge<'s> {
    endpoint: Endpoint,
    daemon: Daemon,
    settings: &'s ClamdSettings,
    verdicts: Option<Verdicts>,
    /// The name of the rule by which it is scanned.
    rule: &'s str,
    /// Where malware is taken to, where it is to be.
    quarantine: Option<Arc<Quarantine>>,
    stop: Arc<AtomicBool>,
    window: usize,
    basis: Option<BasisId>,
    /// Judged since the basis was last confirmed.
    unconfirmed: BTreeMap<DirKey, Vec<Judged>>,
    again: VecDeque<Job>,
    hashing: JoinSet<Detection>,
    out: Judgements,
}

impl<'s> Judge<'s> {
    /// Finds out what clamd judges by.
    pub(super) async fn begin(
        endpoint: Endpoint,
        settings: &'s ClamdSettings,
        verdicts: Option<Verdicts>,
        (rule, quarantine): (&'s str, Option<Arc<Quarantine>>),
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let daemon = Daemon::new(endpoint.clone()).timeouts(Timeouts {
            stats: Duration::from_secs(2),
            ..Timeouts::default()
        });
        daemon.ping().await?;
        let threads = daemon.stats().await.ok().and_then(|stats| threads(&stats));
        let window = match (settings.window, threads) {
            (Some(window), _) => usize::from(window),
            (None, Some(threads)) => (threads * FOR_EACH_THREAD).clamp(8, 256),
            (None, None) => 32,
        };
        let mut judge = Self {
            endpoint,
            daemon,
            settings,
            verdicts,
            rule,
            quarantine,
            stop,
            window,
            basis: None,
            unconfirmed: BTreeMap::new(),
            again: VecDeque::new(),
            hashing: JoinSet::new(),
            out: Judgements::default(),
        };
        judge.confirm().await?;
        Ok(judge)
    }

    /// What judges.
    pub(super) fn version(&self) -> Option<&Version> {
        self.out.version.as_ref()
    }

    /// How many files are asked about at once.
    pub(super) const fn window(&self) -> usize {
        self.window
    }

    /// Asks about every job until there are no more; `found` hears of malware at once.
    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
        mut found: impl FnMut(&Detection),
    ) -> anyhow::Result<Judgements> {
        let mut are_over = false;
        loop {
            if self.again.is_empty() {
                match jobs.recv().await {
                    Some(job) => self.again.push_back(job),
                    None => break,
                }
            }
            // Only now, so that no connection of clamd's is held for nothing.
            let Some(mut session) = self.connect().await else {
                break;
            };
            self.converse(&mut session, &mut jobs, &mut are_over, &mut found).await;
            if are_over && self.again.is_empty() {
                break;
            }
        }
        if self.out.gave_up.is_some() {
            self.stop.store(true, Ordering::Relaxed);
            self.give_up(&mut jobs).await;
        }
        while let Some(hashed) = self.hashing.join_next().await {
            self.take(hashed, &mut found);
        }
        if let Err(error) = self.confirm().await {
            tracing::warn!(%error, "what was judged last is not remembered: clamd does not say by what it judged");
        }
        self.flush().await?;
        Ok(self.out)
    }

    /// One session: until it has ended, or there is nothing more to ask.
    async fn converse(
        &mut self,
        session: &mut Session<Job>,
        jobs: &mut mpsc::Receiver<Job>,
        are_over: &mut bool,
        found: &mut impl FnMut(&Detection),
    ) {
        let mut confirm = interval(CONFIRM_EVERY);
        confirm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        confirm.reset();
        loop {
            while session.has_room() {
                let Some(job) = self.again.pop_front().or_else(|| jobs.try_recv().ok()) else {
                    break;
                };
                self.submit(session, job);
            }
            if *are_over && self.again.is_empty() && session.outstanding() == 0 {
                session.end();
                return;
            }
            if !session.is_open() && session.outstanding() == 0 {
                return;
            }
            let is_hungry = session.has_room() && self.again.is_empty() && !*are_over;
            tokio::select! {
                ended = session.next(), if session.outstanding() > 0 => {
                    if let Some((job, outcome)) = ended {
                        self.settle(job, outcome);
                    }
                }
                job = jobs.recv(), if is_hungry => match job {
                    Some(job) => self.submit(session, job),
                    None => *are_over = true,
                },
                Some(hashed) = self.hashing.join_next() => self.take(hashed, found),
                _ = confirm.tick() => if let Err(error) = self.confirm().await {
                    tracing::debug!(%error, "clamd does not say by what it judges");
                },
            }
        }
    }

    fn submit(&mut self, session: &mut Session<Job>, job: Job) {
        let request = match self.endpoint {
            Endpoint::Unix(_) => Request::File(Arc::clone(&job.file)),
            Endpoint::Tcp { .. } => Request::Stream(Content::File(Arc::clone(&job.file))),
        };
        if let Err((job, _)) = session.submit(job, request) {
            self.again.push_front(job);
        }
    }

    /// A session, as soon as clamd gives one; `None` when it was away for too long.
    async fn connect(&mut self) -> Option<Session<Job>> {
        let options = SessionOptions {
            reply: self.settings.scan_timeout.get(),
            window: self.window,
            stream_max: self.settings.stream_max_length.bytes(),
            ..SessionOptions::default()
        };
        let since = Instant::now();
        let mut is_said = false;
        loop {
            let error = match Session::open(&self.endpoint, options).await {
                Ok(session) => {
                    if is_said {
                        tracing::info!(after = ?since.elapsed(), "clamd is back: the scan goes on");
                    }
                    return Some(session);
                }
                Err(error) => error,
            };
            if since.elapsed() >= self.settings.outage.get() || self.stop.load(Ordering::Relaxed) {
                self.out.gave_up = Some(chain(&error));
                return None;
            }
            if !std::mem::replace(&mut is_said, true) {
                tracing::warn!(error = chain(&error), "clamd is away: the scan waits for it");
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    fn settle(&mut self, mut job: Job, outcome: Result<Verdict, ClamError>) {
        let size = job.stat.size;
        match outcome {
            Ok(Verdict::Clean) => {
                self.remember(&job, Judgement::Clean);
                self.out.account.count(End::Clean, size);
            }
            Ok(Verdict::LimitExceeded { limit }) => {
                self.remember(&job, Judgement::OverLimit);
                self.out.account.count(End::OverLimit, size);
                let reason = format!("more than clamd's {limit}");
                self.out.failures.add(End::OverLimit, &job.path, &reason);
            }
            Ok(Verdict::Infected { signatures }) => {
                self.out.account.count(End::Infected, size);
                self.found(job, signatures);
            }
            Err(error) if error.is_passing() && job.tries + 1 < TRIES => {
                job.tries += 1;
                self.again.push_back(job);
            }
            Err(error) => {
                self.out.account.count(End::Failed, size);
                self.out.failures.add(End::Failed, &job.path, &chain(&error));
            }
        }
    }

    /// Its verdict waits until it is sure by what it was judged.
    fn remember(&mut self, job: &Job, judgement: Judgement) {
        let (Some(dir), Some(basis), true) = (job.dir, self.basis, self.verdicts.is_some()) else {
            return;
        };
        let Ok(after) = FileStat::of(&job.file) else { return };
        self.unconfirmed.entry(dir).or_default().push(Judged {
            before: job.facts(),
            after: facts(&after),
            began_ns: job.began_ns,
            synced: job.synced,
            judgement,
            basis,
        });
    }

    fn found(&mut self, job: Job, signatures: Vec<String>) {
        let (rule, time) = (self.rule.to_owned(), Utc::now());
        let judged_by = self.out.version.as_ref().map(ToString::to_string).unwrap_or_default();
        if let (Some(verdicts), Some(dir)) = (&self.verdicts, job.dir)
            && let Err(error) = verdicts.forget(dir, job.stat.inode, time)
        {
            tracing::warn!(%error, "a verdict of before could not be forgotten");
        }
        let quarantine = self.quarantine.clone();
        self.hashing.spawn_blocking(move || {
            let path = String::from_utf8_lossy(&job.path).into_owned();
            let is_lossy = path.as_bytes() != &*job.path;
            let sha256 = sha256(&job.file).ok();
            let taken = quarantine.map(|quarantine| {
                let taken = Taken {
                    file: &job.file,
                    scanned: &job.stamp,
                    path: Path::new(OsStr::from_bytes(&job.path)),
                    root: None,
                    other_names: &[],
                    signatures: &signatures,
                    rule: &rule,
                    clamd: &judged_by,
                    scanned_at: time,
                    sha256: sha256.as_deref(),
                };
                quarantine.take(&taken, Utc::now()).map_err(|error| chain(&error))
            });
            let (quarantined, not_quarantined) = match taken {
                Some(Ok(item)) => (Some(item.manifest.id.to_string()), None),
                Some(Err(why)) => (None, Some(why)),
                None => (None, None),
            };
            Detection {
                path,
                path_raw: is_lossy.then(|| base64(&job.path)),
                signatures,
                sha256,
                quarantined,
                not_quarantined,
                size: job.stat.size,
                uid: job.stat.uid,
                rule,
                time,
                judged_by,
            }
        });
    }

    fn take(&mut self, hashed: Result<Detection, tokio::task::JoinError>, found: &mut impl FnMut(&Detection)) {
        match hashed {
            Ok(detection) => {
                found(&detection);
                self.out.detections.push(detection);
            }
            Err(error) => tracing::error!(%error, "a detection was lost inside this program"),
        }
    }

    /// Asks by what clamd judges now. Where that is what it was, what was judged since is remembered; else nobody knows
    /// by what it was, and it is judged again the next time.
    async fn confirm(&mut self) -> anyhow::Result<()> {
        let (version, basis) = basis::now(&self.daemon, self.settings).await?;
        self.out.version = Some(version);
        let Some(verdicts) = self.verdicts.clone() else {
            return Ok(());
        };
        let judged = std::mem::take(&mut self.unconfirmed);
        let known = self.basis;
        let work = move || -> anyhow::Result<(BasisId, u64)> {
            let now = Utc::now();
            let id = verdicts.use_basis(&basis, now)?;
            let mut moved = 0;
            if known == Some(id) {
                for (dir, judged) in &judged {
                    moved += verdicts.remember(*dir, judged, now)?.moved;
                }
                verdicts.flush(now)?;
            }
            Ok((id, moved))
        };
        let (id, moved) = tokio::task::spawn_blocking(work).await??;
        if known.is_some_and(|known| known != id) {
            tracing::info!("clamd judges by other signatures from now on: what was judged last is not remembered");
        }
        self.out.moved += moved;
        self.basis = Some(id);
        Ok(())
    }

    async fn flush(&self) -> anyhow::Result<()> {
        if let Some(verdicts) = self.verdicts.clone() {
            tokio::task::spawn_blocking(move || verdicts.flush(Utc::now())).await??;
        }
        Ok(())
    }

    /// What was to be asked is told as failed.
    async fn give_up(&mut self, jobs: &mut mpsc::Receiver<Job>) {
        let reason = self.out.gave_up.clone().unwrap_or_default();
        while let Some(job) = match self.again.pop_front() {
            Some(job) => Some(job),
            None => jobs.recv().await,
        } {
            self.out.account.count(End::Failed, job.stat.size);
            self.out.failures.add(End::Failed, &job.path, &reason);
        }
    }
}

fn threads(stats: &Stats) -> Option<usize> {
    let most = stats
        .pools
        .iter()
        .filter_map(|pool| usize::try_from(pool.threads.max).ok())
        .max();
    most.filter(|most| *most > 0)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What cannot be read as an endpoint was refused with the configuration.
pub(super) fn endpoint(settings: &ClamdSettings) -> io::Result<Endpoint> {
    settings.endpoint.parse().map_err(io::Error::other)
}
