//! `reef-agent history`: the scans that were made, and the whole account of one.
use crate::{
    cli::{HistoryArgs, HistoryCommand, Output, StatusChoice},
    context::Context,
    scan::was_blind,
    state::scans::{self, Which, Written},
    status::{second, show},
};
use anyhow::Context as _;
use chrono::Utc;
use core_model::{ByteSize, EventId};
use daemon_kit::{Exit, Table, printable, to_stdout};
use fleet_wire::{MalwareScan, ScanStatus};
use state_sqlite::RunLock;
use std::fmt::Write as _;

pub(crate) fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<Exit> {
    match &args.command {
        Some(HistoryCommand::Show { id }) => show_one(context, *id),
        None => list(context, args),
    }
}

const HEADINGS: [&str; 10] = [
    "STARTED",
    "RULE",
    "SCOPE",
    "CAUSE",
    "STATUS",
    "SECONDS",
    "FILES",
    "BYTES",
    "DETECTIONS",
    "ID",
];

fn list(context: &Context, args: &HistoryArgs) -> anyhow::Result<Exit> {
    let database = context.open_state()?;
    let which = Which {
        rule: args.rule.clone(),
        status: args.status.map(StatusChoice::status),
        // Longer ago than there is time is as long ago as there is.
        since: args
            .since
            .and_then(|since| Utc::now().checked_sub_signed(chrono::TimeDelta::from_std(since.get()).ok()?)),
        limit: args.limit,
    };
    let scans = scans::history(&database, &which)?;
    let is_running = RunLock::is_held(database.path());
    let mut table = Table::new(&HEADINGS);
    for column in [5, 6, 7, 8] {
        table = table.right(column);
    }
    for scan in &scans {
        let ended = scan.ended.as_ref();
        table.row([
            second(scan.started_at),
            printable(scan.rule.as_bytes()).into_owned(),
            scan.scope.name().to_owned(),
            scan.cause.clone(),
            status_of(scan, is_running).to_owned(),
            ended
                .map(|scan| format!("{:.1}", (scan.ended_at - scan.started_at).as_seconds_f64()))
                .unwrap_or_default(),
            ended.map(|scan| scan.met.files.to_string()).unwrap_or_default(),
            ended
                .map(|scan| ByteSize::new(scan.met.bytes).human())
                .unwrap_or_default(),
            ended.map(|scan| scan.detections.to_string()).unwrap_or_default(),
            scan.id.to_string(),
        ]);
    }
    show(context.output, &scans, &table)?;
    let is_bad = |scan: &MalwareScan| scan.status == ScanStatus::Failed || was_blind(scan);
    let newest = scans.first().and_then(|scan| scan.ended.as_ref());
    if let (Output::Table, Some(failed)) = (context.output, newest.filter(|scan| is_bad(scan))) {
        let why = failed.error.as_deref().unwrap_or_default();
        to_stdout(format_args!(
            "the last one is {}: {}\n",
            failed.status.name(),
            printable(why.as_bytes())
        ))?;
    }
    Ok(Exit::Done)
}

fn show_one(context: &Context, id: EventId) -> anyhow::Result<Exit> {
    let database = context.open_state()?;
    let scan = scans::by_id(&database, id)?
        .with_context(|| format!("there is no scan `{id}` here; `reef-agent history --limit 0` names all"))?;
    match context.output {
        Output::Table => to_stdout(text(&scan, RunLock::is_held(database.path())))?,
        Output::Json | Output::Jsonl => to_stdout(serde_json::to_string(&scan)? + "\n")?,
    }
    Ok(Exit::Done)
}

/// The whole account of a scan, for people.
fn text(scan: &Written, is_running: bool) -> String {
    let mut text = String::new();
    let Some(ended) = &scan.ended else {
        let rule = printable(scan.rule.as_bytes());
        let (began, status) = (second(scan.started_at), status_of(scan, is_running));
        return format!(
            "a scan of `{rule}` ({}) that began {began}: {status}\n",
            scan.scope.name()
        );
    };
    for (name, value) in ended.lines() {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {}", printable(value.as_bytes()));
    }
    let mut table = Table::new(&["END", "FILES", "BYTES"]).right(1).right(2);
    for (end, count) in &ended.account {
        table.row([
            printable(end.as_bytes()).into_owned(),
            count.files.to_string(),
            ByteSize::new(count.bytes).human(),
        ]);
    }
    let _ = write!(text, "\n{table}");
    text
}

/// How a scan ended.
fn status_of(scan: &Written, is_running: bool) -> &'static str {
    match &scan.ended {
        Some(ended) => ended.status.name(),
        None if is_running && !scan.is_cut_off => "running",
        None => "cut off",
    }
}

impl StatusChoice {
    const fn status(self) -> ScanStatus {
        match self {
            Self::Completed => ScanStatus::Completed,
            Self::Partial => ScanStatus::Partial,
            Self::Stopped => ScanStatus::Stopped,
            Self::Failed => ScanStatus::Failed,
        }
    }
}
