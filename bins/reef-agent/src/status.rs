//! `reef-agent status` and `detections`: what the agent has written down.
use crate::{
    cli::{DetectionsArgs, Output},
    context::Context,
    keeper,
    scan::BLIND,
    settings::{NO_RULE, RuleSettings},
    state::{
        detections::{self, Event},
        scans::{self, Written},
    },
};
use chrono::{DateTime, SecondsFormat, Utc};
use clamd_proto::{ClamError, Daemon, Endpoint, Version};
use core_model::{ByteSize, QueueStats, chain};
use daemon_kit::{Exit, RuntimeSettings, Table, printable, to_stdout};
use fleet_wire::{Detection, MalwareRecord, MalwareScan};
use serde::Serialize;
use state_sqlite::{Database, Outbox, RunLock};
use std::{
    fmt::{self, Write as _},
    time::Duration,
};
use tokio::time::timeout;

/// How long clamd may take over the test file: it waits behind whatever is scanned.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Status {
    state_file: String,
    /// Whether the agent runs.
    is_running: bool,
    clamd: Clamd,
    rules: Vec<RuleStatus>,
    detections_in_30_days: usize,
    outbox: Owed,
}

#[derive(Serialize)]
struct Clamd {
    is_up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_date: Option<String>,
    /// Whether it finds the test file; none where that was not tried, or took too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    detects: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct RuleStatus {
    rule: String,
    /// The scan of all of it that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<MalwareScan>,
    /// When the last one ended that looked at everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_complete: Option<DateTime<Utc>>,
    /// The scans by it that are under way.
    running: Vec<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Owed {
    records: u64,
    bytes: u64,
    oldest: Option<DateTime<Utc>>,
    dropped: u64,
    damaged: u64,
}

pub(crate) fn run(context: &Context) -> anyhow::Result<Exit> {
    let database = context.open_state()?;
    let now = Utc::now();
    let QueueStats {
        records,
        bytes,
        oldest,
        dropped,
        damaged,
        ..
    } = Outbox::stats_of(&database)?;
    let live = context.live();
    let rules = live.rules.iter();
    let is_running = RunLock::is_held(database.path());
    let rules = rules.map(|rule| rule_status(context, &database, rule, is_running, now));
    let rules = rules.collect::<anyhow::Result<_>>()?;
    let outbox = Owed {
        records,
        bytes,
        oldest,
        dropped,
        damaged,
    };
    let endpoint: Endpoint = live.clamd.endpoint.parse()?;
    let daemon = Daemon::new(endpoint.clone());
    daemon_kit::run(RuntimeSettings::of_command(), async {
        let status = Status {
            state_file: database.path().display().to_string(),
            is_running,
            clamd: Clamd::of(daemon.version().await)
                .tried(&endpoint, live.canary.enabled)
                .await,
            rules,
            detections_in_30_days: found(&database, now - chrono::TimeDelta::days(30), u32::MAX)?.len(),
            outbox,
        };
        match context.output {
            Output::Table => to_stdout(text(&status))?,
            Output::Json | Output::Jsonl => to_stdout(serde_json::to_string(&status)? + "\n")?,
        }
        Ok(status.exit())
    })
}

impl Status {
    /// Nothing is protected where the agent does not run, or clamd is away or does not detect.
    const fn exit(&self) -> Exit {
        if self.is_running && self.clamd.is_usable() {
            Exit::Done
        } else {
            Exit::Environment
        }
    }
}

fn rule_status(
    context: &Context,
    database: &Database,
    rule: &RuleSettings,
    is_running: bool,
    now: DateTime<Utc>,
) -> anyhow::Result<RuleStatus> {
    let since = scans::newest(database, &rule.name)?.map_or(now, |last| last.started_at);
    let mut timing = rule.timing(&context.agent_name(), since);
    let is_due = timing.is_due(&rule.schedule, None, now);
    let next = timing.next(None, now).filter(|_| rule.schedule.when.is_some());
    Ok(RuleStatus {
        rule: rule.name.clone(),
        last: scans::last_whole(database, &rule.name)?,
        last_complete: scans::last_complete(database, &rule.name)?.map(|scan| scan.ended_at),
        running: if is_running {
            scans::under_way(database, &rule.name)?
        } else {
            Vec::new()
        },
        next: if is_due { Some(now) } else { next },
    })
}

impl Clamd {
    fn of(answer: Result<Version, ClamError>) -> Self {
        match answer {
            Ok(version) => Self {
                is_up: true,
                database_date: version.database.as_ref().map(|database| database.made.to_string()),
                version: Some(version.to_string()),
                detects: None,
                error: None,
            },
            Err(error) => Self {
                is_up: false,
                version: None,
                database_date: None,
                detects: None,
                error: Some(chain(&error)),
            },
        }
    }

    /// The same after it was sent a test file, where that is wanted.
    async fn tried(mut self, endpoint: &Endpoint, is_wanted: bool) -> Self {
        if !is_wanted || !self.is_up {
            return self;
        }
        match timeout(PATIENCE, keeper::is_found(endpoint)).await {
            Ok(Ok(is_found)) => {
                self.detects = Some(is_found);
                self.error = (!is_found).then(|| BLIND.to_owned());
            }
            Ok(Err(error)) => self.error = Some(format!("no verdict on the test file: {}", chain(&error))),
            Err(_) => {
                let secs = PATIENCE.as_secs();
                self.error = Some(format!("no verdict on the test file within {secs} s: it is busy"));
            }
        }
        self
    }

    /// Whether it answers, and was not found not to detect.
    const fn is_usable(&self) -> bool {
        self.is_up && !matches!(self.detects, Some(false))
    }
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    // Writing to memory cannot fail.
    let _ = write_text(&mut out, status);
    out
}

fn write_text(out: &mut String, status: &Status) -> fmt::Result {
    let running = if status.is_running {
        "running"
    } else {
        "NOT running: `reef-agent run`, or start its service"
    };
    writeln!(out, "agent       {running}")?;
    match (&status.clamd.version, &status.clamd.error) {
        (Some(version), _) if !status.clamd.is_usable() => {
            writeln!(
                out,
                "clamd       {version}; answers and does NOT DETECT: {BLIND}; see `reef-agent doctor`"
            )?;
        }
        (Some(version), Some(error)) => writeln!(out, "clamd       {version}; {error}")?,
        (Some(version), None) => writeln!(out, "clamd       {version}")?,
        (None, error) => writeln!(out, "clamd       away: {}", error.as_deref().unwrap_or_default())?,
    }
    writeln!(out, "detections  {} in the last 30 days", status.detections_in_30_days)?;
    match status.outbox.oldest {
        Some(oldest) => writeln!(
            out,
            "outbox      {} records ({}) wait for the server, the oldest since {}",
            status.outbox.records,
            ByteSize::new(status.outbox.bytes).human(),
            second(oldest)
        )?,
        None => writeln!(out, "outbox      empty")?,
    }
    if status.rules.is_empty() {
        writeln!(out, "rules       none: {NO_RULE}")?;
    }
    let headings = [
        "RULE",
        "LAST",
        "CAUSE",
        "STATUS",
        "FILES",
        "DETECTIONS",
        "COMPLETE",
        "NEXT",
        "NOW",
    ];
    let mut table = Table::new(&headings).right(4).right(5);
    for rule in &status.rules {
        let last = rule.last.as_ref();
        table.row([
            printable(rule.rule.as_bytes()).into_owned(),
            last.map_or_else(|| "never".to_owned(), |last| second(last.ended_at)),
            last.map(|last| last.cause.name()).unwrap_or_default().to_owned(),
            last.map(|last| last.status.name()).unwrap_or_default().to_owned(),
            last.map(|last| last.met.files.to_string()).unwrap_or_default(),
            last.map(|last| last.detections.to_string()).unwrap_or_default(),
            rule.last_complete.map_or_else(|| "never".to_owned(), second),
            rule.next.map_or_else(|| "by hand or command".to_owned(), second),
            now_text(&rule.running),
        ]);
    }
    writeln!(out)?;
    write!(out, "{table}")
}

/// What is under way: all of the rule, or parts of it.
fn now_text(running: &[Written]) -> String {
    let each = running.iter();
    let each: Vec<String> = each
        .map(|scan| format!("{} since {}", scan.scope.name(), second(scan.started_at)))
        .collect();
    each.join(", ")
}

pub(crate) fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `reef-agent detections`.
pub(crate) fn detections(context: &Context, args: &DetectionsArgs) -> anyhow::Result<Exit> {
    let since = args
        .since
        .map_or(DateTime::UNIX_EPOCH, |since| Utc::now() - since.get());
    let found = found(&context.open_state()?, since, args.limit)?;
    let mut table = Table::new(&["TIME", "OUTCOME", "SIGNATURE", "PATH"]);
    for (at, detection) in &found {
        table.row([
            second(*at),
            detection.outcome.name().to_owned(),
            printable(detection.signatures.join(", ").as_bytes()).into_owned(),
            printable(detection.path.as_bytes()).into_owned(),
        ]);
    }
    let found: Vec<Found> = found
        .into_iter()
        .map(|(time, detection)| Found { time, detection })
        .collect();
    show(context.output, &found, &table)?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Found {
    time: DateTime<Utc>,
    #[serde(flatten)]
    detection: Detection,
}

fn found(database: &Database, since: DateTime<Utc>, limit: u32) -> anyhow::Result<Vec<(DateTime<Utc>, Detection)>> {
    let events = detections::history(database, since, limit)?;
    let found = |event: Event| match event.record() {
        Some(MalwareRecord::Detected(detection)) => Some((event.at, detection)),
        _ => None,
    };
    Ok(events.into_iter().filter_map(found).collect())
}

/// Prints rows, or their table.
pub(crate) fn show(output: Output, rows: &[impl Serialize], table: &Table) -> anyhow::Result<()> {
    match output {
        Output::Table => to_stdout(table)?,
        Output::Json => to_stdout(serde_json::to_string(rows)? + "\n")?,
        Output::Jsonl => {
            for row in rows {
                to_stdout(serde_json::to_string(row)? + "\n")?;
            }
        }
    }
    Ok(())
}
