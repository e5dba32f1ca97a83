//! `scanner run --once`: scan the configured paths, tell the server, exit.
use crate::{
    changes::Printer,
    cli::{Output, RunArgs, Which},
    context::Context,
    encode::RecordEncoder,
    health::Health,
    link::Link,
    progress::Bar,
    report::{self, Report, Text},
    request, scan, session, stop,
};
use anyhow::Context as _;
use chrono::Utc;
use core_model::KnownTree;
use daemon_kit::{Exit, to_stdout};
use fsscan::{NoRecords, Summary};
use state_sqlite::{Database, OpenOptions, Outbox, RunLock, SqliteTree};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(crate) fn run(context: &Context, args: &RunArgs) -> anyhow::Result<Exit> {
    let file = context.state_file(Which::Run);
    let _lock = RunLock::acquire(&file)?;
    let database = Database::open(&file, OpenOptions::default())?;
    database.migrate(&[session::COMPONENT])?;
    let tree = SqliteTree::open(&database)?;
    let outbox = Outbox::open(&database)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(round(context, args, &database, tree, outbox))
}

async fn round(
    context: &Context,
    args: &RunArgs,
    database: &Database,
    tree: SqliteTree,
    outbox: Outbox,
) -> anyhow::Result<Exit> {
    let stop = stop::on_signal()?;
    let health = Health::start(context, database, &outbox)?;
    // Who the agent is must be settled before the scan: a wrong key or name should not be found out hours later. That
    // the server is away is no reason not to scan.
    let link = Link::establish(context, args, database, &outbox, &health).await?;
    health.ready();
    let serve = health.serve(CancellationToken::new());
    tokio::pin!(serve);
    let work = async {
        let scanned = {
            let scanning = scan_once(context, database, tree, link.as_ref(), &health, &stop);
            tokio::pin!(scanning);
            match &link {
                Some(link) => tokio::select! {
                    summary = &mut scanning => summary,
                    () = link.keep_up() => scanning.await,
                },
                None => scanning.await,
            }
        };
        let summary = scanned?;
        let exit = report::exit(&summary);
        let is_told = match &link {
            Some(link) => link.finish(&summary, &stop.token).await,
            None => true,
        };
        let is_whole = is_told && summary.held == 0;
        Ok(if !is_whole && exit == Exit::Done {
            Exit::Partial
        } else {
            exit
        })
    };
    tokio::select! {
        exit = work => exit,
        error = &mut serve => Err(error),
    }
}

/// The scan itself, on a thread where it may block.
async fn scan_once(
    context: &Context,
    database: &Database,
    mut tree: SqliteTree,
    link: Option<&Link>,
    health: &Health,
    stop: &stop::Stop,
) -> anyhow::Result<Summary> {
    let (flag, has_server) = (stop.flag, link.is_some());
    let started = Utc::now();
    let rotation = session::history(database, 1)?
        .first()
        .map_or(0, |last| last.id.unsigned_abs());
    let request = request::of_settings(&context.config, rotation)?;
    let paths: Vec<_> = request.roots.iter().map(|root| root.path.clone()).collect();
    let session = session::begin(database, &paths, started)?;
    let expected = tree.roots()?.iter().map(|root| root.files).sum();
    let bar = Bar::start(request.progress.clone(), expected, context.quiet);
    health.scan_started(started, Arc::clone(&request.progress));
    let (output, mime) = (context.output, context.config.scanner.mime_detection);
    let work = move || {
        // On a terminal a run tells its summary; programs ask for each change.
        let printer = Printer::new(output, output == Output::Table, mime, flag);
        printer.begin();
        let mut records = RecordEncoder::new(started, mime);
        let scanned = if has_server {
            fsscan::scan(&mut tree, &request, &mut records, &printer, started, flag)
        } else {
            fsscan::scan(&mut tree, &request, &mut NoRecords, &printer, started, flag)
        };
        if let Ok(summary) = &scanned {
            printer.end(&Report::new(summary));
        }
        scanned
    };
    let summary = match tokio::task::spawn_blocking(work).await? {
        Ok(summary) => summary,
        Err(error) => {
            session::end(database, session, "failed", &Summary::default(), Utc::now())?;
            return Err(error).context("the scan could not go on");
        }
    };
    drop(bar);
    let exit = report::exit(&summary);
    let now = Utc::now();
    session::end(database, session, scan::session_status(exit, flag), &summary, now)?;
    health.scan_ended(&summary, started, now);
    log(&summary, session);
    if !context.quiet && context.output == Output::Table {
        to_stdout(Text(&summary))?;
    }
    Ok(summary)
}

fn log(summary: &Summary, session: i64) {
    let metrics = serde_json::json!({
        "duration_ms": u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
        "files_total": summary.files,
        "files_new": summary.created,
        "files_updated": summary.updated,
        "files_moved": summary.moved,
        "files_deleted": summary.deleted,
        "files_held": summary.held,
        "files_skipped": summary.ignored,
        "errors": summary.error_count(),
        "memory_usage_mb": telemetry_otel::process_sample().map(|sample| sample.resident_bytes >> 20),
    });
    let paths: Vec<String> = summary
        .roots
        .iter()
        .map(|root| root.path.to_string_lossy().into_owned())
        .collect();
    let paths = serde_json::json!(paths);
    tracing::info!(scan_session_id = session, metrics = %metrics, scan_paths.json = %paths, "scan completed");
}
