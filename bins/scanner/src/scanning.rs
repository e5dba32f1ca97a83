//! One scan of the configured paths: what is asked for, what it owes to a snapshot, how it is written down.
use crate::{
    answers,
    changes::Printer,
    cli::Output,
    context::Context,
    encode::RecordEncoder,
    health::Health,
    progress::Bar,
    report::{self, Report, Text},
    request,
    scan::session_status,
    session,
    snapshot::{self, Owes},
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use core_model::KnownTree;
use daemon_kit::to_stdout;
use fleet_link::agent::AgentState;
use fsscan::{Encoder, NoRecords, ScanError, ScanRequest, Summary};
use state_sqlite::{Journal, SqliteTree, StateError, Targets, WhenFull};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What scans share.
#[derive(Clone)]
pub(crate) struct Scanning {
    pub(crate) context: Arc<Context>,
    pub(crate) state: Arc<AgentState>,
    pub(crate) health: Arc<Health>,
    /// Raised when the process has to end.
    pub(crate) flag: Arc<AtomicBool>,
    /// Whether changes and a summary are printed, as for a person at a terminal.
    pub(crate) prints: bool,
}

impl Scanning {
    /// Scans on a thread where it may block. `is_answering` is whether the server takes records at the moment.
    pub(crate) async fn scan(&self, is_answering: bool) -> anyhow::Result<Summary> {
        let own = self.clone();
        let current = tracing::Span::current();
        let scanned = tokio::task::spawn_blocking(move || current.in_scope(|| own.scan_here(is_answering))).await;
        match scanned {
            Ok(scanned) => scanned,
            // A fault of this program: whoever supervises has to see it as one.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(error.into()),
        }
    }

    fn scan_here(&self, is_answering: bool) -> anyhow::Result<Summary> {
        let (context, state) = (&self.context, &self.state);
        let started = Utc::now();
        let span = tracing::info_span!(target: telemetry_otel::RUN, "scan", session = tracing::field::Empty);
        let _entered = span.enter();
        let live = context.live();
        let has_server = live.common.server.base_url.is_some();
        let owes = if has_server {
            snapshot::prepare(state, is_answering, started)?
        } else {
            Owes::Changes
        };
        let rotation = session::history(&state.database, 1)?.first().map_or(0, |last| last.id);
        let mut request = request::of_settings(&live.scanner, rotation.unsigned_abs())?;
        request.name_all = owes == Owes::Everything;
        let paths: Vec<_> = request.roots.iter().map(|root| root.path.clone()).collect();
        let session = session::begin(&state.database, &paths, started)?;
        span.record("session", session);
        self.health.scan_started(started, Arc::clone(&request.progress));
        let mut bounds = live.common.outbox.bounds();
        if owes != Owes::Changes {
            // A snapshot that loses records to the bound would have to be told again, and would lose them again.
            bounds.when_full = WhenFull::Block;
        }
        state.outbox.set_bounds(bounds);
        let scanned = self.walk(&request, has_server, started);
        let summary = match scanned {
            Ok(summary) => summary,
            Err(error) => {
                // The state may be what failed; its own words are those of the scan.
                let status = if is_gave_up(&error) { "interrupted" } else { "failed" };
                if let Err(error) = session::end(&state.database, session, status, &Summary::default(), Utc::now()) {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the failed scan could not be written down"
                    );
                }
                self.health.scan_failed(&format!("{error:#}"), started, Utc::now());
                return Err(error);
            }
        };
        let now = Utc::now();
        if owes != Owes::Changes && !summary.stopped {
            snapshot::end(state, &summary, now)?;
        }
        let exit = report::exit(&summary);
        session::end(
            &state.database,
            session,
            session_status(exit, &self.flag),
            &summary,
            now,
        )?;
        self.health.scan_ended(&summary, started, now);
        log(&summary, session);
        if self.prints && !context.quiet && context.output == Output::Table {
            to_stdout(Text(&summary))?;
        }
        Ok(summary)
    }

    fn walk(&self, request: &ScanRequest, has_server: bool, started: DateTime<Utc>) -> anyhow::Result<Summary> {
        let (context, state) = (&self.context, &self.state);
        let mut tree = SqliteTree::open(&state.database)?;
        let roots = tree.roots()?;
        // A first scan finds every file new: that is a listing, not a history.
        let is_first = roots.iter().all(|root| root.completed_at.is_none());
        let live = context.live();
        let journal = live.journal.enabled && !is_first && !request.name_all;
        tree.set_targets(Targets {
            outbox: has_server,
            journal,
        })?;
        let expected = roots.iter().map(|root| root.files).sum();
        let _bar = self
            .prints
            .then(|| Bar::start(request.progress.clone(), expected, context.quiet));
        let mime = live.scanner.mime_detection;
        // On a terminal a run tells its summary; programs ask for each change.
        let is_silent = !self.prints || context.output == Output::Table;
        let printer = Printer::new(context.output, is_silent, mime, &self.flag);
        printer.begin();
        let refused = answers::refused_paths(&state.database)?;
        let mut records = RecordEncoder::new(started, mime).watching(&refused);
        let encoder: &mut dyn Encoder = if has_server || journal {
            &mut records
        } else {
            &mut NoRecords
        };
        let summary = fsscan::scan(&mut tree, request, encoder, &printer, started, &self.flag)
            .context("the scan could not go on")?;
        if self.prints {
            printer.end(&Report::new(&summary));
        }
        // A newer record is on its way: what the server said of the older one is no longer the last word.
        answers::forget(&state.database, records.met(), &refused)?;
        if journal {
            let settings = &live.journal;
            Journal::open(&state.database)?.trim(started - settings.max_age.get(), settings.max_bytes.bytes())?;
        }
        Ok(summary)
    }
}

/// Whether a scan ended because it was told to while it waited for room in the outbox.
pub(crate) fn is_gave_up(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(ScanError::<StateError>::Tree(StateError::OutboxFull { .. }))
        ) || matches!(cause.downcast_ref(), Some(StateError::OutboxFull { .. }))
    })
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
    let how = if summary.stopped {
        "scan stopped before its end; the next one goes on from there"
    } else {
        "scan completed"
    };
    tracing::info!(scan_session_id = session, metrics = %metrics, scan_paths.json = %paths, "{how}");
}

/// Whether the last scan did not come to its end: it was killed, stopped or cut off.
pub(crate) fn was_interrupted(state: &AgentState) -> anyhow::Result<bool> {
    let last = session::history(&state.database, 1)?.pop();
    Ok(last.is_none_or(|last| matches!(last.status.as_str(), "running" | "interrupted" | "failed")))
}

/// Lowers the flags again, after a scan was stopped and the agent goes on.
pub(crate) fn go_on(scanning: &Scanning) {
    scanning.flag.store(false, Ordering::Relaxed);
    scanning.state.stop.store(false, Ordering::Relaxed);
}

/// Raises the flags that end a scan, whichever it waits for.
pub(crate) fn stop(scanning: &Scanning) {
    scanning.flag.store(true, Ordering::Relaxed);
    scanning.state.stop.store(true, Ordering::Relaxed);
}
