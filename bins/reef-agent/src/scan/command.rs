//! `reef-agent scan` and `rules run`: what the engine finds, printed.
use super::{Detection, Engine, EngineSettings, How, Progress, Report, Wanted, bar::Bar};
use crate::{
    cli::{HowArgs, Output, ScanArgs},
    context::Context,
    settings::ThrottleSettings,
};
use anyhow::{Context as _, ensure};
use daemon_kit::{Exit, RuntimeSettings, Signals, printable, to_stdout};
use fleet_wire::Outcome;
use std::sync::{Arc, atomic::AtomicBool};
use tokio_util::sync::CancellationToken;

/// The name of the rule of files that were named on the command line.
const COMMAND_LINE: &str = "command line";

pub(crate) fn run(context: &Context, args: &ScanArgs) -> anyhow::Result<Exit> {
    let wanted = Wanted {
        paths: args.paths.clone(),
        exclude: args.exclude.clone(),
        max_file_size: args.max_file_size,
        follow_symlinks: args.follow_symlinks,
        one_file_system: args.one_file_system,
        action: args.action,
        ..Wanted::beside_rules(COMMAND_LINE)
    };
    by(context, wanted, &args.how).map(|report| report.exit())
}

/// Scans what is wanted, and reports it.
pub(crate) fn by(context: &Context, wanted: Wanted, args: &HowArgs) -> anyhow::Result<Report> {
    let mut settings = EngineSettings::of(
        &context.live(),
        &context.boot.verdicts,
        context.verdict_file(),
        context.quarantine(),
    );
    if args.background {
        let throttle = ThrottleSettings {
            background: Some(true),
            ..wanted.throttle.clone()
        };
        settings.throttles.insert(wanted.rule.clone(), throttle);
    }
    let engine = Engine::new(settings);
    let how = How {
        id: None,
        is_fresh: args.fresh,
        no_memory: args.no_memory,
        threads: args.threads,
    };
    if args.dry_run {
        let report = engine.dry_run(&wanted, &how, &AtomicBool::new(false))?;
        print(context, &report)?;
        return Ok(report);
    }
    let mut made = None;
    daemon_kit::run(RuntimeSettings::of_command(), async {
        let report = scan(context, &engine, wanted, how).await?;
        print(context, &report)?;
        let exit = report.exit();
        made = Some(report);
        Ok(exit)
    })?;
    made.context("the scan was not made")
}

/// Scans until it is through, or somebody stops it: what was judged by then is reported.
async fn scan(context: &Context, engine: &Engine, wanted: Wanted, how: How) -> anyhow::Result<Report> {
    let progress = Arc::new(Progress::default());
    let bar = Bar::start(Arc::clone(&progress), context.quiet);
    let (output, stop) = (context.output, CancellationToken::new());
    let found = |detection: &Detection| bar.aside(|| tell(output, detection));
    let scanning = engine.scan(wanted, how, progress, found, stop.clone());
    tokio::pin!(scanning);
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    loop {
        tokio::select! {
            report = &mut scanning => return Ok(report?),
            signal = signals.next() => {
                ensure!(!stop.is_cancelled(), "ended by a second {signal}; what was judged last is not remembered");
                tracing::info!(%signal, "stopping; what was judged is kept");
                stop.cancel();
            }
        }
    }
}

/// A detection at once, where whoever reads goes by lines.
fn tell(output: Output, detection: &Detection) {
    if output != Output::Table {
        return;
    }
    let path = printable(detection.path.as_bytes());
    let signatures = detection.signatures.join(", ");
    let detail = detection.detail.as_deref().unwrap_or_default();
    let became = match (detection.outcome, &detection.quarantined) {
        (Outcome::Quarantined, Some(id)) if detail.is_empty() => format!(", quarantined as {id}"),
        (Outcome::Quarantined, Some(id)) => format!(", quarantined as {id}: {}", printable(detail.as_bytes())),
        (Outcome::Deleted, _) => ", deleted".to_owned(),
        (Outcome::LeftThere, _) => format!(", and left where it is: {}", printable(detail.as_bytes())),
        _ => String::new(),
    };
    // Who reads no more is told by the exit code.
    let _ = to_stdout(format_args!("{path}: {signatures} FOUND{became}\n"));
}

fn print(context: &Context, report: &Report) -> anyhow::Result<()> {
    match context.output {
        Output::Table if context.quiet => Ok(()),
        Output::Table => Ok(to_stdout(report.text())?),
        Output::Json | Output::Jsonl => Ok(to_stdout(format_args!("{}\n", serde_json::to_string(report)?))?),
    }
}
