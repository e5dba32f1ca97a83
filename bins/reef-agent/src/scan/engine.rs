//! What scans: for a command that was given, for a schedule, for a controller, and for files that were watched.
//!
//! It prints nothing and takes no signals. One is made for a process; its clones are the same.
use super::{
    ageing::Ageing,
    collect::{self, ForScan},
    detection::{Detection, event_id},
    error::ScanError,
    handing::{self, Hand, InHand},
    job::By,
    judge::{Bench, Judge},
    links::Links,
    oldest::Overdue,
    plan::Plan,
    progress::Progress,
    proof::Proofs,
    report::{Asked, Report, Span},
    sight::{BLIND, Sights},
    walk::{self, Walk},
    wanted::{How, Wanted},
};
use crate::{
    quarantine::{ItemError, OpenError, Quarantine},
    settings::{Action, ClamdSettings, Live, QuarantineLive, Throttle, ThrottleSettings, VerdictBoot, VerdictLive},
};
use chrono::Utc;
use core_model::{EventId, chain};
use state_sqlite::{VerdictOptions, Verdicts};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;

/// What an engine goes by.
#[derive(Clone, Debug)]
pub(crate) struct EngineSettings {
    /// ClamAV's daemon.
    pub(crate) clamd: ClamdSettings,
    /// Whether clamd is tried with a test file before what it calls clean is remembered.
    pub(crate) canary: bool,
    /// Whether it is found out up to which length clamd looks at files.
    pub(crate) prove_limits: bool,
    /// When what is known of a file counts no longer.
    pub(crate) recheck: VerdictLive,
    /// How long malware is kept.
    pub(crate) quarantine: QuarantineLive,
    /// How much of the machine a scan may take, where its rule does not say.
    pub(crate) throttle: ThrottleSettings,
    /// The same for rules by their names; followed by scans under way.
    pub(crate) throttles: BTreeMap<String, ThrottleSettings>,
    /// Where verdicts are remembered, and how many.
    pub(crate) verdict_file: PathBuf,
    /// How much is remembered, and for how long.
    pub(crate) verdicts: VerdictOptions,
    /// Where malware is taken to.
    pub(crate) quarantine_dir: PathBuf,
}

impl EngineSettings {
    /// What a configuration says, and where its files lie.
    pub(crate) fn of(live: &Live, verdicts: &VerdictBoot, verdict_file: PathBuf, quarantine_dir: PathBuf) -> Self {
        let rules = live.rules.iter();
        Self {
            clamd: live.clamd.clone(),
            canary: live.canary.enabled,
            prove_limits: live.canary.enabled && live.canary.limits,
            recheck: live.verdicts.clone(),
            quarantine: live.quarantine.clone(),
            throttle: live.throttle.clone(),
            throttles: rules.map(|rule| (rule.name.clone(), rule.throttle.clone())).collect(),
            verdict_file,
            verdicts: verdicts.options(),
            quarantine_dir,
        }
    }

    /// How much of the machine a scan of `wanted` may take.
    fn throttle_of(&self, wanted: &Wanted) -> Throttle {
        let own = self.throttles.get(&wanted.rule).unwrap_or(&wanted.throttle);
        own.over(&self.throttle)
    }
}

/// Scans.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Inner>);

struct Inner {
    settings: watch::Sender<Arc<EngineSettings>>,
    verdicts: Mutex<Option<Verdicts>>,
    quarantine: Mutex<Option<Arc<Quarantine>>>,
    overdue: Overdue,
    proofs: Arc<Proofs>,
    sights: Arc<Sights>,
}

impl Engine {
    /// Opens nothing yet.
    pub(crate) fn new(settings: EngineSettings) -> Self {
        Self(Arc::new(Inner {
            settings: watch::Sender::new(Arc::new(settings)),
            verdicts: Mutex::default(),
            quarantine: Mutex::default(),
            overdue: Overdue::default(),
            proofs: Arc::default(),
            sights: Arc::default(),
        }))
    }

    /// Goes by these from now on. Scans under way follow the throttles at once, and the rest of `clamd` with their next
    /// connection; where files lie is decided when they are first used, and stays.
    pub(crate) fn apply(&self, settings: EngineSettings) {
        self.0.overdue.keep(|rule| settings.throttles.contains_key(rule));
        self.0.settings.send_replace(Arc::new(settings));
    }

    /// What it goes by.
    pub(crate) fn settings(&self) -> Arc<EngineSettings> {
        self.0.settings.borrow().clone()
    }

    pub(super) fn overdue(&self) -> &Overdue {
        &self.0.overdue
    }

    pub(super) fn proofs(&self) -> Arc<Proofs> {
        Arc::clone(&self.0.proofs)
    }

    pub(super) fn sights(&self) -> Arc<Sights> {
        Arc::clone(&self.0.sights)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<EngineSettings>> {
        self.0.settings.subscribe()
    }

    /// What is known of files, opened when it is first asked for; nothing where that cannot be kept, as for a user without
    /// a place of his own. Blocks.
    pub(crate) fn verdicts(&self) -> Option<Verdicts> {
        let mut opened = lock(&self.0.verdicts);
        if opened.is_none() {
            let settings = self.settings();
            let file = &settings.verdict_file;
            let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            let found = made
                .map_err(|error| error.to_string())
                .and_then(|()| Verdicts::open_file(file, settings.verdicts).map_err(|error| chain(&error)));
            match found {
                Ok(verdicts) => *opened = Some(verdicts),
                Err(error) => {
                    tracing::warn!(file = %file.display(), error, "verdicts cannot be remembered: every file is scanned");
                }
            }
        }
        opened.clone()
    }

    /// The quarantine, opened when it is first asked for. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]; the next call tries again.
    pub(crate) fn quarantine(&self) -> Result<Arc<Quarantine>, OpenError> {
        let mut opened = lock(&self.0.quarantine);
        if let Some(quarantine) = &*opened {
            return Ok(Arc::clone(quarantine));
        }
        let quarantine = Arc::new(Quarantine::open(&self.settings().quarantine_dir)?);
        *opened = Some(Arc::clone(&quarantine));
        Ok(quarantine)
    }

    /// The quarantine where malware is to be taken away, or why there is none: what is found is told all the same. What lies
    /// there for too long is deleted. Blocks.
    fn quarantine_for(&self, action: Action) -> Taking {
        if action == Action::Report {
            return Taking::default();
        }
        let quarantine = match self.quarantine() {
            Ok(quarantine) => quarantine,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the quarantine cannot be used: what is found stays where it is");
                return Taking {
                    quarantine: Some(Err(error.clone())),
                    error: Some(error),
                };
            }
        };
        let error = self.sweep(&quarantine).err().map(|error| {
            let error = chain(&error);
            tracing::error!(
                error,
                "what lies in quarantine for longer than `quarantine.keep` could not be deleted"
            );
            format!("what lies there for longer than `quarantine.keep` could not be deleted: {error}")
        });
        Taking {
            quarantine: Some(Ok(quarantine)),
            error,
        }
    }

    fn sweep(&self, quarantine: &Quarantine) -> Result<(), ItemError> {
        let Some(keep) = self.settings().quarantine.keep else {
            return Ok(());
        };
        for item in quarantine.sweep(keep.get(), Utc::now())? {
            tracing::info!(id = %item.manifest.id, "deleted from quarantine: it lay there for longer than `quarantine.keep`");
        }
        Ok(())
    }

    /// What a scan would look at: how much, and what is left out. Asks nobody. Blocks.
    ///
    /// # Errors
    /// When the paths cannot be walked.
    pub(crate) fn dry_run(&self, wanted: &Wanted, how: &How, halt: &AtomicBool) -> Result<Report, ScanError> {
        let span = Span::begin(&wanted.rule, id(how)?);
        let plan = Plan::new(&self.settings().clamd, wanted, how)?;
        let met = walk::dry_run(&plan, wanted.is_recursive, halt)?;
        let asked = Asked::new(wanted, plan.most);
        let mut report = Report::new(span, asked, &met.coverage, met.singles, met.account, &met.walked);
        report.failures = met.failures.into_first();
        report.named_unjudged = met.named_unjudged;
        report.dry_run = true;
        Ok(report)
    }

    /// Scans. `found` hears of malware at once, when what was to be done about it was done. When `stop` is cancelled, what
    /// is under way is waited for, and the report says how far it came; dropping the future loses the report.
    ///
    /// # Errors
    /// See [`ScanError`]. That clamd went away in the middle is none: the report says so.
    pub(crate) async fn scan(
        &self,
        wanted: Wanted,
        how: How,
        progress: Arc<Progress>,
        found: impl FnMut(&Detection),
        stop: CancellationToken,
    ) -> Result<Report, ScanError> {
        let (engine, wanted) = (self.clone(), Arc::new(wanted));
        let span = Span::begin(&wanted.rule, id(&how)?);
        let prepare = {
            let (wanted, how) = (Arc::clone(&wanted), how.clone());
            move || -> Result<_, ScanError> {
                let plan = Plan::new(&engine.settings().clamd, &wanted, &how)?;
                let taking = engine.quarantine_for(wanted.action);
                // Nothing is remembered where that is not wanted; malware is forgotten all the same.
                let has_file = engine.settings().verdict_file.exists();
                let known = if how.no_memory && !has_file {
                    None
                } else {
                    engine.verdicts()
                };
                Ok((plan, taking, known))
            }
        };
        let (plan, taking, known) = spawn_blocking(prepare).await??;
        let verdicts = known.clone().filter(|_| !how.no_memory);
        let halt = Halt::default();
        let in_hand = InHand::default();
        let links: Arc<Links> = Arc::default();
        let bench = Bench {
            settings: self.subscribe(),
            verdicts: verdicts.clone(),
            known,
            links: Arc::clone(&links),
            proofs: self.proofs(),
            sights: self.sights(),
            progress: Arc::clone(&progress),
            in_hand: InHand::clone(&in_hand),
            throttle: {
                let wanted = Arc::clone(&wanted);
                Box::new(move |settings| settings.throttle_of(&wanted))
            },
            patience: Some(self.settings().clamd.outage.get()),
            halt: Arc::clone(&halt.0),
            stop: stop.clone(),
        };
        let is_background = self.settings().throttle_of(&wanted).background;
        let mut judge = Judge::new(bench, ForScan::new(found, Arc::clone(&plan.named)))?;
        judge.prepare().await?;
        tracing::debug!(version = ?judge.version(), window = judge.window(), "clamd answers");
        let (jobs, asked) = mpsc::channel(handing::room(judge.window()));
        let hand = Hand::new(jobs, in_hand, judge.window());
        let ageing = ageing(&self.settings().recheck, verdicts.clone().filter(|_| !how.is_fresh)).await;
        let most = plan.most;
        let walk = Walk {
            plan,
            by: Arc::new(By {
                wanted: Arc::clone(&wanted),
                scan: Some(span.id),
                quarantine: taking.quarantine,
                most,
            }),
            verdicts,
            ageing: ageing.clone(),
            links,
            progress,
            halt: Arc::clone(&halt.0),
            is_background,
        };
        let walking = spawn_blocking(move || walk.run(hand));
        let judging = judge.run(asked);
        tokio::pin!(judging);
        let ended = tokio::select! {
            ended = &mut judging => ended,
            () = stop.cancelled() => {
                halt.0.store(true, Ordering::Relaxed);
                judging.await
            }
        };
        let met = walking.await??;
        let mut report = collect::report(span, Asked::new(&wanted, most), met, ended.sink);
        report.clamd = ended.version.as_ref().map(Into::into);
        report.gave_up = ended.gave_up.filter(|_| !stop.is_cancelled());
        report.blind = ended.was_blind.then_some(BLIND);
        report.stopped |= ended.cut_off > 0;
        report.quarantine_error = taking.error;
        // One that knows nothing changes nothing of what is known.
        if !how.no_memory && !report.stopped && report.gave_up.is_none() && report.blind.is_none() {
            let left = ageing.as_ref().and_then(|ageing| ageing.left_over());
            self.overdue().scanned(&wanted, left);
        }
        report.oldest_verdict = ageing.and_then(|ageing| ageing.oldest());
        Ok(report)
    }
}

/// Where malware is taken to.
#[derive(Default)]
struct Taking {
    /// None where it is only reported; an error where it is to be taken away and cannot be.
    quarantine: Option<Result<Arc<Quarantine>, String>>,
    /// What of it does not work.
    error: Option<String>,
}

/// Ends the walk when the scan ends, however it does.
#[derive(Default)]
struct Halt(Arc<AtomicBool>);

impl Drop for Halt {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What counts of what is known; nothing where it is to be judged anew, or cannot be read.
async fn ageing(settings: &VerdictLive, verdicts: Option<Verdicts>) -> Option<Arc<Ageing>> {
    let (settings, verdicts) = (settings.clone(), verdicts?);
    let read = spawn_blocking(move || Ageing::new(&settings, &verdicts, Utc::now()));
    let read = read.await.map_err(ScanError::from);
    match read.and_then(|ageing| Ok(ageing?)) {
        Ok(ageing) => Some(Arc::new(ageing)),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "what is known of files cannot be read: all of them are scanned"
            );
            None
        }
    }
}

fn id(how: &How) -> Result<EventId, ScanError> {
    how.id
        .map_or_else(|| event_id(Utc::now()).map_err(ScanError::Random), Ok)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
