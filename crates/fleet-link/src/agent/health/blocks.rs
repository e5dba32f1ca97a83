//! The state and its outbox, as `/health` and `/metrics` show them.
use crate::agent::AgentState;
use chrono::{DateTime, Utc};
use core_model::Queue;
use daemon_kit::telemetry::{Metrics, Reading};
use serde_json::{Map, Value, json};
use state_sqlite::{Outbox, ResyncReason, Story};
use std::sync::{Mutex, PoisonError};
use transport_http::Status;

#[derive(Debug, Default)]
pub(super) struct BackupState {
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) error: Option<String>,
}

pub(super) fn observe_state(metrics: &Metrics, prefix: &str, state: &AgentState) {
    let named = |name: &str| format!("{prefix}_{name}");
    let size = state.database.clone();
    metrics.observe_gauge(named("database_size_bytes"), "Size of the state on disk.", move || {
        [Reading::new(size.size() as f64)]
    });
    for (name, help, of) in [
        (
            "outbox_records",
            "Records that wait for the server.",
            (|stats| stats.records) as fn(&core_model::QueueStats) -> u64,
        ),
        ("outbox_bytes", "Bytes of the records that wait.", |stats| stats.bytes),
        (
            "outbox_dropped_records",
            "Records given up because the outbox was full or they were too old, ever.",
            |stats| stats.dropped,
        ),
        ("outbox_damaged_records", "Records damaged on disk, ever.", |stats| {
            stats.damaged
        }),
    ] {
        let outbox = state.outbox.clone();
        metrics.observe_gauge(named(name), help, move || {
            outbox.stats().ok().map(|stats| Reading::new(of(&stats) as f64))
        });
    }
}

pub(super) fn database(state: &AgentState, backups: &Mutex<BackupState>) -> (Status, Map<String, Value>) {
    let database = &state.database;
    let mut block = map(json!({
        "path": database.path(),
        "size_mb": database.size() as f64 / f64::from(1 << 20),
    }));
    let mut status = Status::Healthy;
    let backups = backups.lock().unwrap_or_else(PoisonError::into_inner);
    block.extend(backups.last.map(|at| ("last_backup".to_owned(), json!(at))));
    if let Some(error) = &backups.error {
        status = Status::Degraded;
        block.insert("backup_error".to_owned(), error.clone().into());
    }
    if !matches!(state.story, Story::New | Story::Sound) {
        block.insert("recovered".to_owned(), state.story.to_string().into());
        // Until the server has been told everything anew, its picture may be wrong.
        if state.outbox.resync().is_ok_and(|wanted| wanted.is_some()) {
            status = Status::Degraded;
        }
    }
    if database.is_disk_short() {
        status = Status::Unhealthy;
        let remedy = "the disk is full: free space, and scans go on by themselves";
        block.insert("error".to_owned(), remedy.into());
    }
    (status, block)
}

pub(super) fn outbox(outbox: &Outbox, most: u64) -> (Status, Map<String, Value>) {
    let stats = match outbox.stats() {
        Ok(stats) => stats,
        Err(error) => return (Status::Unhealthy, map(json!({"error": error.to_string()}))),
    };
    let mut status = Status::Healthy;
    let mut block = map(json!({
        "records": stats.records, "bytes": stats.bytes, "oldest": stats.oldest, "max_bytes": most,
        "dropped": stats.dropped, "damaged": stats.damaged,
    }));
    if outbox.is_blocked() {
        status = Status::Degraded;
        let why = "full (`outbox.max_bytes`): the scan waits until the server takes records";
        block.insert("blocked".to_owned(), why.into());
    }
    match outbox.resync() {
        Ok(None) => {}
        // That a new state has everything to tell is as it should be.
        Ok(Some(wanted)) if wanted.reason == ResyncReason::First => {}
        Ok(Some(wanted)) => {
            status = status.max(Status::Degraded);
            let text = format!("{}: {}", wanted.reason.name(), wanted.detail);
            block.insert("resync_wanted".to_owned(), text.into());
        }
        Err(error) => {
            status = Status::Unhealthy;
            block.insert("error".to_owned(), error.to_string().into());
        }
    }
    (status, block)
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}
