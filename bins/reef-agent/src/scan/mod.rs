//! `reef-agent scan`: files and directories, now.
mod account;
mod basis;
mod detection;
mod dry;
mod failures;
mod judge;
mod report;
mod single;
mod visit;

use crate::{
    cli::{HowArgs, Output, ScanArgs},
    context::Context,
    quarantine::Quarantine,
    settings::{Action, RuleSettings, Symlinks},
};
use account::Account;
use anyhow::{Context as _, ensure};
use clamd_proto::Endpoint;
use core_model::ByteSize;
use daemon_kit::{Exit, RuntimeSettings, Signals, printable, to_stdout};
use detection::Detection;
use dry::Dry;
use failures::Failures;
use fsscan::{Coverage, RootRequest, Tally, WalkRequest, WalkSummary, walk};
use judge::{Judge, Judgements};
use report::Report;
use state_sqlite::Verdicts;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::mpsc;
use visit::{Job, Visit};

/// The name of the rule of files that were named on the command line.
const COMMAND_LINE: &str = "command line";

/// What somebody wants scanned.
pub(crate) struct Wanted {
    /// The name under which it is reported.
    rule: String,
    paths: Vec<PathBuf>,
    exclude: Vec<String>,
    max_file_size: Option<ByteSize>,
    is_recursive: bool,
    follow_symlinks: bool,
    one_file_system: bool,
    action: Action,
}

impl Wanted {
    /// What a rule says.
    pub(crate) fn of(rule: &RuleSettings) -> Self {
        Self {
            rule: rule.name.clone(),
            paths: rule.paths.clone(),
            exclude: rule.exclude.clone(),
            max_file_size: rule.max_file_size,
            is_recursive: rule.recursive,
            follow_symlinks: rule.symlinks == Symlinks::Follow,
            one_file_system: !rule.cross_file_systems,
            action: rule.action,
        }
    }
}

/// What is scanned.
struct Plan {
    request: WalkRequest,
    /// Files that were named themselves.
    singles: Vec<PathBuf>,
    /// Longer files are over the limit.
    most: u64,
    /// Walking threads.
    threads: usize,
    is_recursive: bool,
}

pub(crate) fn run(context: &Context, args: &ScanArgs) -> anyhow::Result<Exit> {
    let wanted = Wanted {
        rule: COMMAND_LINE.to_owned(),
        paths: args.paths.clone(),
        exclude: args.exclude.clone(),
        max_file_size: args.max_file_size,
        is_recursive: true,
        follow_symlinks: args.follow_symlinks,
        one_file_system: args.one_file_system,
        action: args.action,
    };
    by(context, &wanted, &args.how)
}

/// Scans what is wanted, and reports it.
pub(crate) fn by(context: &Context, wanted: &Wanted, how: &HowArgs) -> anyhow::Result<Exit> {
    let plan = plan(context, wanted, how)?;
    let began = Instant::now();
    if how.dry_run {
        let report = dry_run(&plan)?.took(began.elapsed());
        print(context, &report)?;
        return Ok(report.exit());
    }
    let verdicts = if how.no_memory { None } else { remembered(context) };
    let output = context.output;
    let store = quarantine(context, wanted.action)?;
    daemon_kit::run(RuntimeSettings::default(), async {
        let found = move |detection: &Detection| tell(output, detection);
        let report = judge(context, plan, (&wanted.rule, store), verdicts, how.fresh, found).await?;
        let report = report.took(began.elapsed());
        print(context, &report)?;
        Ok(report.exit())
    })
}

fn plan(context: &Context, wanted: &Wanted, how: &HowArgs) -> anyhow::Result<Plan> {
    let clamd = &context.settings().clamd;
    let endpoint = judge::endpoint(clamd)?;
    let mut most = clamd.max_file_size.bytes();
    if matches!(endpoint, Endpoint::Tcp { .. }) {
        most = most.min(clamd.stream_max_length.bytes());
    }
    if let Some(asked) = wanted.max_file_size {
        most = most.min(asked.bytes());
    }
    let (mut roots, mut singles) = (Vec::new(), Vec::new());
    for path in &wanted.paths {
        let path = std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))?;
        if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
            singles.push(path);
            continue;
        }
        roots.push(RootRequest {
            ignore: wanted.exclude.clone(),
            max_file_size: Some(most),
            follow_symlinks: wanted.follow_symlinks,
            one_file_system: wanted.one_file_system,
            ..RootRequest::new(clean(&path))
        });
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Plan {
        request: WalkRequest::new(roots),
        singles,
        most,
        threads: how.threads.map_or(cores.min(4), usize::from),
        is_recursive: wanted.is_recursive,
    })
}

/// The quarantine, where the scan is to take malware away: that it can is known before anything is scanned.
fn quarantine(context: &Context, action: Action) -> anyhow::Result<Option<Arc<Quarantine>>> {
    if action == Action::Report {
        return Ok(None);
    }
    let quarantine = Quarantine::open(&context.quarantine()).context("nothing was scanned")?;
    if let Some(keep) = context.settings().quarantine.keep {
        for item in quarantine.sweep(keep.get(), chrono::Utc::now())? {
            tracing::info!(id = %item.manifest.id, "deleted from quarantine: it lay there for longer than `quarantine.keep`");
        }
    }
    Ok(Some(Arc::new(quarantine)))
}

/// Without `.` and `..`: a root holds neither.
fn clean(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// What is known of files; nothing where that cannot be kept, as for a user without a place of his own.
fn remembered(context: &Context) -> Option<Verdicts> {
    let file = context.verdict_file();
    let opened = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let opened = opened
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(Verdicts::open_file(&file, context.settings().verdicts.options())?));
    match opened {
        Ok(verdicts) => {
            tracing::debug!(file = %file.display(), "verdicts are remembered");
            Some(verdicts)
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(file = %file.display(), error, "verdicts cannot be remembered: every file is scanned");
            None
        }
    }
}

fn dry_run(plan: &Plan) -> anyhow::Result<Report> {
    let never = AtomicBool::new(false);
    let (walked, visitors) = walk(
        &plan.request,
        (0..plan.threads).map(|_| Dry::new(plan.is_recursive)).collect(),
        &never,
    )?;
    let mut all = Dry::new(true);
    for visitor in visitors {
        all.coverage.merge(visitor.coverage);
        all.account.merge(visitor.account);
        all.failures.merge(visitor.failures);
    }
    let mut singles = Tally::default();
    for path in &plan.singles {
        let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        all.account.count(account::End::Clean, bytes);
        singles.add(Tally { files: 1, bytes });
    }
    let mut report = Report::new(&all.coverage, singles, all.account, &walked);
    report.failures = all.failures.first().to_vec();
    report.dry_run = true;
    Ok(report)
}

/// What the walk and the files that were named came to.
struct Met {
    coverage: Coverage,
    singles: Tally,
    account: Account,
    failures: Failures,
    walked: WalkSummary,
}

async fn judge(
    context: &Context,
    plan: Plan,
    (rule, quarantine): (&str, Option<Arc<Quarantine>>),
    verdicts: Option<Verdicts>,
    is_fresh: bool,
    found: impl FnMut(&Detection),
) -> anyhow::Result<Report> {
    let settings = &context.settings().clamd;
    let stop = Arc::new(AtomicBool::new(false));
    let judge = Judge::begin(
        judge::endpoint(settings)?,
        settings,
        verdicts.clone(),
        (rule, quarantine),
        Arc::clone(&stop),
    )
    .await
    .context("nothing was scanned")?;
    tracing::debug!(version = ?judge.version(), window = judge.window(), "clamd answers");
    // Each job holds a descriptor: as many wait as are under way, and no more.
    let (jobs, asked) = mpsc::channel(judge.window() * 2);
    let known = verdicts.filter(|_| !is_fresh);
    let flag = Arc::clone(&stop);
    let walking = tokio::task::spawn_blocking(move || meet(&plan, known.as_ref(), &jobs, &flag));
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    let judging = judge.run(asked, found);
    tokio::pin!(judging);
    let mut is_asked = false;
    let judgements = loop {
        tokio::select! {
            judgements = &mut judging => break judgements?,
            signal = signals.next() => {
                ensure!(!is_asked, "ended by a second {signal}; what was judged last is not remembered");
                is_asked = true;
                tracing::info!(%signal, "stopping; what was judged is kept");
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    let met = walking.await.context("the walk was lost inside this program")??;
    Ok(report(met, judgements))
}

/// Walks, and sends what is to be judged. Blocks.
fn meet(plan: &Plan, verdicts: Option<&Verdicts>, jobs: &mpsc::Sender<Job>, stop: &AtomicBool) -> anyhow::Result<Met> {
    let mut met = Met {
        coverage: Coverage::default(),
        singles: Tally::default(),
        account: Account::default(),
        failures: Failures::default(),
        walked: WalkSummary::default(),
    };
    for path in &plan.singles {
        let tally = single::send(path, plan.most, jobs, &mut met.account, &mut met.failures);
        met.singles.add(tally);
    }
    let visitors = (0..plan.threads)
        .map(|_| Visit::new(jobs.clone(), verdicts, stop, plan.is_recursive))
        .collect();
    let (walked, visitors) = walk(&plan.request, visitors, stop)?;
    for visit in visitors {
        met.coverage.merge(visit.coverage);
        met.account.merge(visit.account);
        met.failures.merge(visit.failures);
    }
    met.walked = walked;
    Ok(met)
}

fn report(met: Met, judgements: Judgements) -> Report {
    let Met {
        coverage,
        singles,
        mut account,
        mut failures,
        walked,
    } = met;
    account.merge(judgements.account);
    failures.merge(judgements.failures);
    let mut report = Report::new(&coverage, singles, account, &walked);
    report.failures = failures.first().to_vec();
    report.detections = judgements.detections;
    report.changed_meanwhile = judgements.moved;
    report.clamd = judgements.version.as_ref().map(Into::into);
    report.gave_up = judgements.gave_up;
    report
}

/// A detection at once, where whoever reads goes by lines.
fn tell(output: Output, detection: &Detection) {
    tracing::debug!(path = detection.path, signatures = ?detection.signatures, "malware was found");
    if output == Output::Table {
        let path = printable(detection.path.as_bytes());
        // Who reads no more is told by the exit code.
        let signatures = detection.signatures.join(", ");
        let _ = match (&detection.quarantined, &detection.not_quarantined) {
            (Some(id), _) => to_stdout(format_args!("{path}: {signatures} FOUND, quarantined as {id}\n")),
            (None, Some(why)) => {
                let why = printable(why.as_bytes());
                to_stdout(format_args!(
                    "{path}: {signatures} FOUND, and left where it is: {why}\n"
                ))
            }
            (None, None) => to_stdout(format_args!("{path}: {signatures} FOUND\n")),
        };
    }
}

fn print(context: &Context, report: &Report) -> anyhow::Result<()> {
    match context.output {
        Output::Table if context.quiet => Ok(()),
        Output::Table => Ok(to_stdout(report.text())?),
        Output::Json | Output::Jsonl => Ok(to_stdout(format_args!("{}\n", serde_json::to_string(report)?))?),
    }
}
