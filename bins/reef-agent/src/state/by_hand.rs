//! What was done by hand beside the agent, for the one that runs or will: it tells as it tells what it found itself.
use super::{
    detections::{self, Entry},
    scans,
};
use crate::{
    news::bell,
    scan::Report,
    settings::{RuleSettings, rule_names},
    state::COMPONENT,
};
use chrono::{DateTime, Utc};
use daemon_kit::bell::ring;
use fleet_wire::{MalwareRecord, ScanCause};
use state_sqlite::{Database, OpenOptions};
use std::path::Path;

/// The state of the agent; nothing where there is none.
pub(crate) fn open(state: &Path) -> anyhow::Result<Option<Database>> {
    let database = state.exists().then(|| {
        Database::open(
            state,
            OpenOptions {
                check: false,
                ..OpenOptions::default()
            },
        )
    });
    let database = database.transpose()?;
    if let Some(database) = &database {
        // An agent of before may have made it.
        database.migrate(&[COMPONENT])?;
    }
    Ok(database)
}

/// Writes all of it down, and rings for whoever runs.
pub(crate) fn write(database: &Database, records: &[(DateTime<Utc>, MalwareRecord)]) -> anyhow::Result<()> {
    let entries = records.iter().map(|(at, record)| Entry::of(*at, record));
    let entries = entries
        .filter_map(Result::transpose)
        .collect::<anyhow::Result<Vec<_>>>()?;
    detections::put(database, &entries)?;
    for (_, record) in records {
        if let MalwareRecord::ScanEnded(scan) = record {
            scans::end(database, scan)?;
        }
    }
    // Unheard, it is seen all the same at the next start.
    if let Err(error) = ring(&bell(database.path())) {
        tracing::debug!(%error, "the agent's bell could not be rung");
    }
    Ok(())
}

/// Writes down a scan by a rule.
pub(crate) fn scanned(state: &Path, report: &Report, rules: &[RuleSettings]) -> anyhow::Result<()> {
    let Some(database) = open(state)? else { return Ok(()) };
    let detections = report.detections.iter();
    let mut records: Vec<_> = detections
        .map(|found| (found.time, MalwareRecord::Detected(found.into())))
        .collect();
    let mut ended = report.to_wire(ScanCause::Local);
    ended.proof.rules = Some(rule_names(rules));
    records.push((ended.ended_at, MalwareRecord::ScanEnded(ended)));
    write(&database, &records)
}
