//! clamd and its signatures, as `/health` shows them. Made of what is known: nothing is asked for it.
use super::{CanaryOutcome, ClamdState, Looked, Presence};
use chrono::{DateTime, Utc};
use core_model::ByteSize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use transport_http::Status;

/// The component `clamd`. One that does not answer, or does not detect, is no protection: unhealthy.
pub(crate) fn clamd_block(state: &ClamdState) -> (Status, Map<String, Value>) {
    let mut block = Map::new();
    block.insert("endpoint".to_owned(), state.endpoint.to_string().into());
    let mut status = Status::Healthy;
    match &state.presence {
        Presence::Unknown => {
            status = Status::Degraded;
            block.insert("detail".to_owned(), "has not been asked yet".into());
        }
        Presence::Up { since } => {
            block.insert("up_since".to_owned(), json!(since));
        }
        Presence::Down { since, kind, why } => {
            status = Status::Unhealthy;
            block.insert("down_since".to_owned(), json!(since));
            block.insert("kind".to_owned(), kind.as_str().into());
            block.insert("error".to_owned(), why.clone().into());
        }
    }
    if let Some(activity) = &state.activity {
        block.insert("queue".to_owned(), activity.queue.into());
        let threads = json!({
            "live": activity.threads_live, "idle": activity.threads_idle, "max": activity.threads_max,
        });
        block.insert("threads".to_owned(), threads);
        block.insert("asked_at".to_owned(), json!(activity.at));
    }
    if let Some(canary) = &state.canary {
        let mut of = json!({"at": canary.at, "last_found": canary.last_found});
        let (word, worst, detail) = match &canary.outcome {
            CanaryOutcome::Found => ("found", Status::Healthy, None),
            CanaryOutcome::Missed { by } => (
                "missed",
                Status::Unhealthy,
                Some(format!(
                    "answers and does not detect: the test file, sent as {by}, was called clean"
                )),
            ),
            CanaryOutcome::NoVerdict { why } => (
                "no_verdict",
                Status::Degraded,
                Some(format!("gave no verdict on the test file: {why}")),
            ),
        };
        of["result"] = word.into();
        block.insert("canary".to_owned(), of);
        note(&mut status, &mut block, worst, detail);
    }
    if let Some(Looked::Less { at, .. }) = state.looked {
        let detail = format!(
            "looks at files of up to about {} only, less than `clamd.max_file_size` says, and calls longer ones clean",
            ByteSize::new(at).human()
        );
        note(&mut status, &mut block, Status::Degraded, Some(detail));
    }
    if let Some(Looked::Unproved { at }) = state.looked {
        let detail = format!(
            "looks at files of {}; that it looks at longer ones, as `clamd.max_file_size` says, is not proved",
            ByteSize::new(at).human()
        );
        note(&mut status, &mut block, Status::Healthy, Some(detail));
    }
    (status, block)
}

/// The component `signatures`: how old they are, and whether that is too old.
pub(crate) fn signatures_block(
    state: &ClamdState,
    max_age: Duration,
    now: DateTime<Utc>,
) -> (Status, Map<String, Value>) {
    let mut block = Map::new();
    let mut status = Status::Healthy;
    let Some(version) = &state.version else {
        block.insert("detail".to_owned(), "clamd has not told its version yet".into());
        return (Status::Degraded, block);
    };
    block.insert("engine".to_owned(), version.engine.clone().into());
    block.insert(
        "database_version".to_owned(),
        json!(version.database.map(|database| database.number)),
    );
    block.insert("made_at".to_owned(), json!(state.database_made));
    let age = state.database_age(now);
    block.insert("age_seconds".to_owned(), json!(age.map(|age| age.num_seconds())));
    block.insert("max_age_seconds".to_owned(), max_age.as_secs().into());
    match age.map(|age| age.to_std().unwrap_or_default()) {
        Some(age) if age > max_age => {
            let detail = format!("{} days old: does freshclam run?", age.as_secs() / 86_400);
            note(&mut status, &mut block, Status::Degraded, Some(detail));
        }
        Some(_) => {}
        None => {
            let detail = "clamd has no daily database, so how old its signatures are is not known; name \
                          `clamd.database_directory` where it has others";
            note(&mut status, &mut block, Status::Degraded, Some(detail.to_owned()));
        }
    }
    (status, block)
}

/// What is worse counts; the first word about it stays.
fn note(status: &mut Status, block: &mut Map<String, Value>, other: Status, detail: Option<String>) {
    *status = (*status).max(other);
    if let Some(detail) = detail
        && !block.contains_key("error")
    {
        block.entry("detail").or_insert(detail.into());
    }
}
