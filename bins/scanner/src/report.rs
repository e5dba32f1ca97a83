//! What a scan found, for people and programs, and the exit code that says it in a digit.
use core_model::ByteSize;
use daemon_kit::{Exit, printable};
use fsscan::{RootOutcome, Summary};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// A summary as JSON has it.
#[derive(Serialize)]
pub(crate) struct Report {
    files: u64,
    directories: u64,
    bytes: u64,
    created: u64,
    updated: u64,
    moved: u64,
    deleted: u64,
    unchanged: u64,
    ignored: u64,
    held: u64,
    errors: BTreeMap<&'static str, u64>,
    roots: Vec<Root>,
    unconfigured: Vec<Unconfigured>,
    stopped: bool,
    duration_ms: u64,
}

#[derive(Serialize)]
struct Root {
    path: String,
    outcome: String,
    scanned: bool,
    files: u64,
    bytes: u64,
    held: u64,
}

#[derive(Serialize)]
struct Unconfigured {
    path: String,
    files: u64,
}

impl Report {
    pub(crate) fn new(summary: &Summary) -> Self {
        let root = |root: &fsscan::RootSummary| Root {
            path: root.path.to_string_lossy().into_owned(),
            outcome: root.outcome.to_string(),
            scanned: root.outcome.is_scanned(),
            files: root.files,
            bytes: root.bytes,
            held: root.held,
        };
        let unconfigured = |root: &fsscan::Unconfigured| Unconfigured {
            path: String::from_utf8_lossy(&root.path).into_owned(),
            files: root.files,
        };
        Self {
            files: summary.files,
            directories: summary.dirs,
            bytes: summary.bytes,
            created: summary.created,
            updated: summary.updated,
            moved: summary.moved,
            deleted: summary.deleted,
            unchanged: summary.unchanged,
            ignored: summary.ignored,
            held: summary.held,
            errors: summary
                .errors
                .iter()
                .map(|(kind, count)| (kind.name(), *count))
                .collect(),
            roots: summary.roots.iter().map(root).collect(),
            unconfigured: summary.unconfigured.iter().map(unconfigured).collect(),
            stopped: summary.stopped,
            duration_ms: u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// For people, with every remedy.
pub(crate) struct Text<'a>(pub &'a Summary);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        let seconds = s.duration.as_secs_f64();
        // Where nothing could be looked at, counts of nothing would read like a result.
        let looked = s
            .roots
            .iter()
            .any(|root| matches!(root.outcome, RootOutcome::Scanned | RootOutcome::Stopped));
        if looked {
            writeln!(
                f,
                "{} files, {} in {} directories, looked at in {seconds:.1} s",
                s.files,
                ByteSize::new(s.bytes).human(),
                s.dirs
            )?;
            writeln!(
                f,
                "{} created, {} updated, {} moved, {} deleted, {} unchanged, {} ignored",
                s.created, s.updated, s.moved, s.deleted, s.unchanged, s.ignored
            )?;
        }
        let failed = |root: &&fsscan::RootSummary| !matches!(root.outcome, RootOutcome::Scanned | RootOutcome::Stopped);
        for root in s.roots.iter().filter(failed) {
            let path = root.path.display();
            write!(f, "error: {path}: {}; nothing of it was changed", root.outcome)?;
            match root.outcome {
                RootOutcome::Foreign | RootOutcome::TurnedUpEmpty => {
                    writeln!(f, ". Mount it, or run `scanner accept {path}` if it is meant to be so")?;
                }
                RootOutcome::Missing => writeln!(f, ". Is it mounted?")?,
                _ => writeln!(f)?,
            }
        }
        for root in s.roots.iter().filter(|root| root.held > 0) {
            let path = root.path.display();
            writeln!(
                f,
                "{} deletions in {path} are held: `scanner accept {path}` releases them",
                root.held
            )?;
        }
        for root in &s.unconfigured {
            let path = printable(&root.path);
            let files = root.files;
            writeln!(
                f,
                "{path} is no longer scanned, but {files} files of it are known: `scanner accept {path}` forgets them"
            )?;
        }
        if s.error_count() > 0 {
            let kinds: Vec<String> = s
                .errors
                .iter()
                .map(|(kind, count)| format!("{count} {}", kind.name().replace('_', " ")))
                .collect();
            writeln!(f, "{} paths could not be read ({}):", s.error_count(), kinds.join(", "))?;
            for error in s.first_errors.iter().take(10) {
                writeln!(f, "  {}: {}", printable(&error.path), error.detail)?;
            }
            if s.error_count() > 10 {
                writeln!(f, "  … the log names the rest")?;
            }
        }
        if s.stopped {
            writeln!(
                f,
                "stopped before the end: what was found so far is kept, and the next scan goes on from here"
            )?;
        }
        Ok(())
    }
}

/// What the exit code says of a scan by itself.
pub(crate) fn exit(summary: &Summary) -> Exit {
    let scanned = summary.roots.iter().filter(|root| root.outcome.is_scanned()).count();
    let is_whole = scanned == summary.roots.len() && summary.error_count() == 0 && !summary.stopped;
    match (scanned, is_whole) {
        (_, true) => Exit::Done,
        (0, _) if !summary.stopped => Exit::Environment,
        _ => Exit::Partial,
    }
}
