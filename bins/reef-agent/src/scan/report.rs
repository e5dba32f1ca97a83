//! What a scan came to: for people, and as one document.
use super::{
    account::{Account, End},
    ageing::OldestVerdict,
    detection::Detection,
    failures::Failure,
    wanted::Wanted,
};
use chrono::{DateTime, Utc};
use clamd_proto::Version;
use core_model::{ByteSize, EventId};
use daemon_kit::{Exit, Table, printable};
use fleet_wire::{LeftOut, ScanScope};
use fsscan::{Coverage, Reason, Rule, Tally, WalkSummary};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::PathBuf,
    time::Instant,
};

/// So many failures are shown to people; the document has more.
const SHOWN: usize = 20;

/// Files and bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Count {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl From<Tally> for Count {
    fn from(Tally { files, bytes }: Tally) -> Self {
        Self { files, bytes }
    }
}

/// What judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JudgedBy {
    pub(crate) engine: String,
    /// Of the daily database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<u32>,
    /// When that was made, by the clock of clamd's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database_made: Option<String>,
}

/// As clamd itself says it.
impl fmt::Display for JudgedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClamAV {}", self.engine)?;
        self.database.map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

impl From<&Version> for JudgedBy {
    fn from(version: &Version) -> Self {
        Self {
            engine: version.engine.clone(),
            database: version.database.map(|database| database.number),
            database_made: version.database.map(|database| database.made.to_string()),
        }
    }
}

/// Which scan it is, and when it began.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) id: EventId,
    rule: String,
    started_at: DateTime<Utc>,
    began: Instant,
}

impl Span {
    pub(super) fn begin(rule: &str, id: EventId) -> Self {
        Self {
            id,
            rule: rule.to_owned(),
            started_at: Utc::now(),
            began: Instant::now(),
        }
    }
}

/// What was to be scanned.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Asked {
    /// Whether that is all of the rule.
    pub(crate) scope: ScanScope,
    pub(crate) paths: Vec<PathBuf>,
    /// What was to be left out, as in `.gitignore`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) exclude: Vec<String>,
    /// Longer files, in bytes, are over the limit.
    pub(crate) max_file_size: u64,
}

impl Asked {
    pub(super) fn new(wanted: &Wanted, most: u64) -> Self {
        Self {
            scope: wanted.scope,
            paths: wanted.paths.clone(),
            exclude: wanted.exclude.clone(),
            max_file_size: most,
        }
    }
}

/// What a scan came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Its id.
    pub(crate) id: EventId,
    /// The rule by which it was made.
    pub(crate) rule: String,
    /// What was to be scanned.
    #[serde(flatten)]
    pub(crate) asked: Asked,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: DateTime<Utc>,
    /// Nothing was judged: it was only looked at what would be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    /// Every file that was met.
    pub(crate) met: Count,
    /// Directories that were looked into.
    pub(crate) directories: u64,
    /// Directories that could not be looked into; nobody knows what is below them.
    pub(crate) unreadable_directories: u64,
    /// Every file by how it ended.
    pub(crate) account: BTreeMap<&'static str, Count>,
    /// Files that were met and ended in no way: 0, or this program has a fault.
    pub(crate) unaccounted: i64,
    pub(crate) left_out: Vec<LeftOut>,
    /// Malware: the first ten thousand.
    pub(crate) detections: Vec<Detection>,
    /// So many more were told, and are not listed.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) detections_unlisted: u64,
    /// Directories and files of which nobody can say whether they are clean: the first thousand of each, and the first
    /// thousand files over a limit.
    pub(crate) failures: Vec<Failure>,
    /// Files that were named themselves, and that are over a limit or no files that could be read.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) named_unjudged: u64,
    /// Paths that could not be scanned at all.
    pub(crate) missing: Vec<String>,
    /// Files that changed while they were read: judged as they were then.
    pub(crate) changed_meanwhile: u64,
    /// The oldest signatures that a file is clean by, where they are older than those in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_verdict: Option<OldestVerdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clamd: Option<JudgedBy>,
    /// What of the quarantine does not work, where malware was to be taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quarantine_error: Option<String>,
    /// It was ended before it was through.
    pub(crate) stopped: bool,
    /// Why clamd was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gave_up: Option<String>,
    /// clamd was found not to detect while it lasted: what it called clean counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blind: Option<&'static str>,
    pub(crate) duration_secs: f64,
    #[serde(skip)]
    pub(crate) ends: Account,
}

impl Report {
    /// Of what was met and how it ended. The rest is filled in by whoever knows it.
    pub(super) fn new(
        span: Span,
        asked: Asked,
        coverage: &Coverage,
        singles: Tally,
        mut ends: Account,
        walked: &WalkSummary,
    ) -> Self {
        ends.left_out(coverage);
        let mut met = coverage.met();
        met.add(singles);
        let account = End::ALL.iter().map(|end| (end.key(), ends.get(*end).into()));
        let missing = walked
            .roots
            .iter()
            .filter(|root| !root.outcome.is_scanned() && !walked.stopped);
        Self {
            id: span.id,
            rule: span.rule,
            asked,
            started_at: span.started_at,
            ended_at: Utc::now(),
            dry_run: false,
            met: met.into(),
            directories: coverage.dirs,
            unreadable_directories: unreadable_directories(coverage),
            account: account.collect(),
            unaccounted: ends.unaccounted(met),
            left_out: left_out(coverage),
            detections: Vec::new(),
            detections_unlisted: 0,
            failures: Vec::new(),
            named_unjudged: 0,
            missing: missing
                .map(|root| format!("{}: {}", root.path.display(), root.outcome))
                .collect(),
            changed_meanwhile: 0,
            oldest_verdict: None,
            clamd: None,
            quarantine_error: None,
            stopped: walked.stopped,
            gave_up: None,
            blind: None,
            duration_secs: span.began.elapsed().as_secs_f64(),
            ends,
        }
    }

    /// Malware goes before what could not be read.
    pub(crate) fn exit(&self) -> Exit {
        let is_nothing = self.met.files == 0 && self.directories == 0;
        if is_nothing && !self.missing.is_empty() {
            Exit::Environment
        } else if !self.detections.is_empty() || self.ends.get(End::Infected).files > 0 {
            Exit::Findings
        } else if self.is_partial() || self.stopped {
            Exit::Partial
        } else {
            Exit::Done
        }
    }

    /// Whether something was not done that was asked for, but for the end of a scan that was stopped.
    pub(super) fn is_partial(&self) -> bool {
        let left = self.ends.get(End::Failed).files + self.ends.get(End::Unreadable).files + self.named_unjudged;
        left > 0
            || self.unreadable_directories > 0
            || self.gave_up.is_some()
            || self.blind.is_some()
            || self.quarantine_error.is_some()
            || !self.missing.is_empty()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to memory cannot fail.
        for failure in self.failures.iter().take(SHOWN) {
            let path = printable(failure.path.as_bytes());
            let below = if failure.is_directory { " with all below" } else { "" };
            let _ = writeln!(
                text,
                "{path}: {}{below} ({})",
                failure.end.name(),
                printable(failure.reason.as_bytes())
            );
        }
        if self.failures.len() > SHOWN {
            let _ = writeln!(text, "… and {} more", self.failures.len() - SHOWN);
        }
        for missing in &self.missing {
            let _ = writeln!(text, "{}", printable(missing.as_bytes()));
        }
        let mut table = Table::new(&["", "FILES", "BYTES"]).right(1).right(2);
        let bytes = |bytes| ByteSize::new(bytes).human();
        for end in End::ALL {
            let tally = self.ends.get(end);
            if tally.files > 0 {
                let name = if self.dry_run && end == End::Clean {
                    "to be scanned"
                } else {
                    end.name()
                };
                table.row([name.to_owned(), tally.files.to_string(), bytes(tally.bytes)]);
            }
        }
        table.row(["unaccounted".to_owned(), self.unaccounted.to_string(), String::new()]);
        table.row(["met".to_owned(), self.met.files.to_string(), bytes(self.met.bytes)]);
        let _ = write!(text, "{table}");
        self.left_out_text(&mut text);
        if self.unreadable_directories > 0 {
            let _ = writeln!(
                text,
                "unreadable: {} directories with all below",
                self.unreadable_directories
            );
        }
        if let Some(oldest) = &self.oldest_verdict {
            let OldestVerdict {
                signatures, age_secs, ..
            } = oldest;
            let hours = age_secs / 3600;
            let _ = writeln!(
                text,
                "the oldest signatures that a file is clean by: {}, last in use {} d {:02} h ago",
                printable(signatures.as_bytes()),
                hours / 24,
                hours % 24
            );
        }
        if let Some(reason) = &self.quarantine_error {
            let _ = writeln!(text, "quarantine: {}", printable(reason.as_bytes()));
        }
        if let Some(reason) = self.blind {
            let _ = writeln!(text, "{reason}; nothing of it is remembered");
        }
        if let Some(reason) = &self.gave_up {
            let _ = writeln!(text, "clamd was given up: {reason}");
        } else if self.stopped {
            let _ = writeln!(text, "stopped before its end: what comes after is not in this account");
        }
        let by = match &self.clamd {
            Some(JudgedBy {
                engine,
                database: Some(database),
                ..
            }) => format!(" by ClamAV {engine}, database {database}"),
            Some(JudgedBy {
                engine, database: None, ..
            }) => format!(" by ClamAV {engine}, without its own database"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "{} directories in {:.1} s{by}",
            self.directories, self.duration_secs
        );
        text
    }

    fn left_out_text(&self, text: &mut String) {
        for left in &self.left_out {
            let _ = write!(
                text,
                "left out by {}: {} files",
                printable(left.by.as_bytes()),
                left.files
            );
            let _ = match left.directories {
                0 => writeln!(text),
                directories => writeln!(text, ", {directories} directories with all below"),
            };
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

fn unreadable_directories(coverage: &Coverage) -> u64 {
    let dirs = coverage.dirs_left_out.iter();
    dirs.filter(|(reason, _)| matches!(reason, Reason::Unreadable(_)))
        .map(|(_, count)| count)
        .sum()
}

/// What rules and borders left out, each with its name.
fn left_out(coverage: &Coverage) -> Vec<LeftOut> {
    let mut all: BTreeMap<String, LeftOut> = BTreeMap::new();
    let entry = |by: String| LeftOut {
        by,
        files: 0,
        bytes: 0,
        directories: 0,
    };
    for (reason, tally) in coverage.left_out.iter() {
        if let Some(by) = rule(reason) {
            let left = all.entry(by.clone()).or_insert_with(|| entry(by));
            left.files += tally.files;
            left.bytes += tally.bytes;
        }
    }
    let dirs = coverage.dirs_left_out.iter();
    for (reason, count) in dirs.filter(|(reason, _)| !matches!(reason, Reason::Unreadable(_))) {
        let by = rule(reason).unwrap_or_else(|| reason.name().replace('_', " "));
        all.entry(by.clone()).or_insert_with(|| entry(by)).directories += count;
    }
    all.into_values().collect()
}

fn rule(reason: &Reason) -> Option<String> {
    match reason {
        Reason::Excluded(Rule::Hidden) => Some("hidden names".to_owned()),
        Reason::Excluded(Rule::OfAllRoots { pattern, .. } | Rule::OfRoot { pattern, .. }) => {
            Some(format!("the pattern `{pattern}`"))
        }
        Reason::Excluded(Rule::OfFile { pattern, file, line }) => {
            Some(format!("`{pattern}` ({}:{line})", file.display()))
        }
        Reason::OtherFileSystem => Some("another file system".to_owned()),
        _ => None,
    }
}
