//! Streams: when a new one is opened, and how everything is told in it.
//!
//! Every stream begins with `snapshot.begin` and names everything that is known until the first complete scan in it has
//! ended, so that the server can drop what it wrongly holds. Where nothing was known when the stream was opened, an
//! ordinary scan names everything by itself.
use crate::answers;
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use core_model::{KnownTree, Run};
use fleet_link::agent::AgentState;
use fleet_wire::{SnapshotBegin, SnapshotEnd, SnapshotReason, WirePath, snapshot_kind};
use fsscan::Summary;
use serde::Serialize;
use state_sqlite::{ResyncReason, SnapshotState, Told};

/// What the scan that begins now owes to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owes {
    /// Nothing: changes are enough.
    Changes,
    /// Its end: all that is known was told in this stream.
    End,
    /// Every file that is there, and the end.
    Everything,
}

/// Opens a new stream where one is wanted, and says what the scan owes. `is_answering` is whether the server takes
/// records: what was dropped for want of room is not told anew into the same full outbox.
pub(crate) fn prepare(state: &AgentState, is_answering: bool, now: DateTime<Utc>) -> anyhow::Result<Owes> {
    if let Some(wanted) = state.outbox.resync()? {
        let waits_for_answer = matches!(wanted.reason, ResyncReason::Dropped | ResyncReason::Damaged);
        if is_answering || !waits_for_answer {
            let begin = SnapshotBegin {
                reason: SnapshotReason::of_name(wanted.reason.name()),
                detail: wanted.detail.clone(),
            };
            let first = run(snapshot_kind::BEGIN, now, &begin)?;
            let is_empty = is_empty(state)?;
            let stream = state.outbox.open_stream(&first, now)?;
            answers::forget_refusals(&state.database)?;
            if is_empty {
                state.outbox.tell(&[], Told::All, now)?;
            }
            let detail = wanted.detail;
            tracing::info!(
                %stream,
                reason = wanted.reason.name(),
                detail,
                "opened a new stream: the server is told everything in it"
            );
        }
    }
    Ok(match state.outbox.snapshot()? {
        SnapshotState::None => Owes::Changes,
        SnapshotState::Open { told: Told::All } => Owes::End,
        SnapshotState::Open { .. } => Owes::Everything,
    })
}

/// Ends the snapshot after a scan that was not cut short: what it could not look at, the server keeps.
pub(crate) fn end(state: &AgentState, summary: &Summary, now: DateTime<Utc>) -> anyhow::Result<()> {
    let unseen = summary.unseen().into_iter().map(WirePath::from_bytes).collect();
    let last = run(snapshot_kind::END, now, &SnapshotEnd { unseen })?;
    state.outbox.close_snapshot(&last, now)?;
    Ok(())
}

fn is_empty(state: &AgentState) -> anyhow::Result<bool> {
    let tree = state_sqlite::SqliteTree::open(&state.database)?;
    Ok(tree.roots()?.iter().all(|root| root.files == 0) && tree.undecided_after(None, 1)?.is_empty())
}

/// One record as it lies in the outbox.
fn run<B: Serialize>(kind: &'static str, time: DateTime<Utc>, body: &B) -> anyhow::Result<Run> {
    #[derive(Serialize)]
    struct Line<'a, B> {
        kind: &'static str,
        time: DateTime<Utc>,
        body: &'a B,
    }
    let mut body = serde_json::to_vec(&Line { kind, time, body }).context("could not write a record")?;
    body.push(b'\n');
    Ok(Run { records: 1, body })
}
