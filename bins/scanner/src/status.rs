//! `scanner status`: what is known, what is owed, what is held.
use crate::{
    answers::{self, Refused},
    cli::{Output, StateArgs},
    context::Context,
    session::{self, Session},
};
use chrono::{DateTime, Utc};
use core_model::{ByteSize, KnownTree, QueueStats};
use daemon_kit::{Exit, Table, printable, to_stdout};
use fleet_wire::WirePath;
use serde::Serialize;
use state_sqlite::{Outbox, SqliteTree};
use std::fmt::{self, Write as _};

#[derive(Serialize)]
struct Status {
    state_file: String,
    state_bytes: u64,
    roots: Vec<Root>,
    outbox: Owed,
    refused: u64,
    refusals: Vec<Refused>,
    last_scan: Option<Session>,
}

#[derive(Serialize)]
struct Root {
    #[serde(flatten)]
    path: WirePath,
    files: u64,
    held_deletions: u64,
    last_completed: Option<DateTime<Utc>>,
    accepted: bool,
}

#[derive(Serialize)]
struct Owed {
    records: u64,
    bytes: u64,
    oldest: Option<DateTime<Utc>>,
    last_seq: u64,
    /// Given up because the outbox was full or they were too old, ever.
    dropped: u64,
    /// Damaged on disk, ever.
    damaged: u64,
}

pub(crate) fn run(context: &Context, args: &StateArgs) -> anyhow::Result<Exit> {
    let database = context.open_state(args.state)?;
    let roots = SqliteTree::overlay(&database)?.roots()?.into_iter().map(|root| Root {
        path: WirePath::from_bytes(root.path),
        files: root.files,
        held_deletions: root.held,
        last_completed: root.completed_at,
        accepted: root.accepted,
    });
    let QueueStats {
        records,
        bytes,
        oldest,
        last_seq,
        dropped,
        damaged,
        ..
    } = Outbox::stats_of(&database)?;
    let (refused, refusals) = answers::refusals(&database, 10)?;
    let status = Status {
        state_file: database.path().display().to_string(),
        state_bytes: database.size(),
        roots: roots.collect(),
        outbox: Owed {
            records,
            bytes,
            oldest,
            last_seq,
            dropped,
            damaged,
        },
        refused,
        refusals,
        last_scan: session::history(&database, 1)?.pop(),
    };
    match context.output {
        Output::Csv => anyhow::bail!("status has no CSV form: ask for table, json or jsonl"),
        Output::Table => to_stdout(text(&status))?,
        Output::Json | Output::Jsonl => to_stdout(
            serde_json::to_string(&status)?
                + "
",
        )?,
    }
    Ok(Exit::Done)
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    // Writing to memory cannot fail.
    let _ = write_text(&mut out, status);
    out
}

fn write_text(out: &mut String, status: &Status) -> fmt::Result {
    writeln!(
        out,
        "state    {} ({})",
        status.state_file,
        ByteSize::new(status.state_bytes).human()
    )?;
    match &status.last_scan {
        Some(scan) => writeln!(
            out,
            "scan     {}, {} files, {} errors",
            scan.status, scan.files, scan.errors
        )?,
        None => writeln!(out, "scan     none yet")?,
    }
    match status.outbox.oldest {
        Some(oldest) => writeln!(
            out,
            "outbox   {} records wait for the server, the oldest since {}",
            status.outbox.records,
            oldest.format("%Y-%m-%dT%H:%M:%SZ")
        )?,
        None => writeln!(out, "outbox   empty; {} records told so far", status.outbox.last_seq)?,
    }
    for (count, what) in [
        (
            status.outbox.dropped,
            "dropped  records were given up: the outbox was full or they were too old",
        ),
        (status.outbox.damaged, "damaged  records were damaged on disk"),
    ] {
        if let (true, Some((name, rest))) = (count > 0, what.split_once("  ")) {
            writeln!(out, "{name:<8} {count} {rest}")?;
        }
    }
    if status.refused > 0 {
        writeln!(out, "refused  {} records; the newest:", status.refused)?;
        for refusal in &status.refusals {
            writeln!(out, "  {}: {}", printable(refusal.path.as_bytes()), refusal.detail)?;
        }
    }
    let mut table = Table::new(&["PATH", "FILES", "HELD", "COMPLETED"]).right(1).right(2);
    for root in &status.roots {
        let completed = root
            .last_completed
            .map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        table.row([
            printable(root.path.as_bytes()).into_owned(),
            root.files.to_string(),
            root.held_deletions.to_string(),
            completed.unwrap_or_else(|| "never".to_owned()),
        ]);
    }
    writeln!(out)?;
    write!(out, "{table}")?;
    for root in status.roots.iter().filter(|root| root.held_deletions > 0) {
        let path = printable(root.path.as_bytes());
        writeln!(
            out,
            "{} deletions in {path} are held: `scanner accept {path}` releases them",
            root.held_deletions
        )?;
    }
    Ok(())
}
