//! Entry points for fuzzers of delivery: see the module of this name at the top.

use super::{
    batch::{Batch, LoadedRun, Piece},
    dialect,
};
use chrono::DateTime;
use core_model::{QueuedRun, SeqRange, StreamId};
use daemon_kit::Dialect;
use std::{collections::HashSet, sync::Arc};
use transport_http::fuzzing::response;

const RECORD: &[u8] = b"{\"kind\":\"file.deleted\",\"time\":\"2026-11-21T12:00:00Z\",\"body\":{\"path\":\"/a\"}}\n";

fn batch(first: u64, records: u64, body: Vec<u8>) -> Option<Batch> {
    let run = LoadedRun::new(QueuedRun {
        seqs: SeqRange {
            first,
            last: first + records - 1,
        },
        enqueued_at: DateTime::UNIX_EPOCH,
        body: Ok(body),
    });
    Some(Batch::of(Piece::whole(Arc::new(run.ok()?))))
}

/// The answer to a request with the records 5 to 8.
pub fn answer(data: &[u8]) {
    let Some(batch) = batch(5, 4, RECORD.repeat(4)) else {
        return;
    };
    let Ok(answer) = dialect::answer(Dialect::Shoal, &batch, &response(data)) else {
        return;
    };
    assert!(answer.through <= 8, "more was taken than was sent");
    let mut seen = HashSet::new();
    for rejected in answer.rejected {
        assert!(
            (5..=answer.through).contains(&rejected.seq),
            "another record is refused"
        );
        assert!(seen.insert(rejected.seq), "a record is refused twice");
    }
}

/// A run of the outbox whose body has any contents, on its way out in either dialect.
pub fn run(data: &[u8]) {
    let lines = data
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| *line != b"\n")
        .count();
    let Some(batch) = batch(1, (lines as u64).max(1), data.to_vec()) else {
        return;
    };
    let stream = StreamId::new(DateTime::UNIX_EPOCH, [1; 10]);
    for dialect in [Dialect::Shoal, Dialect::FilesV1] {
        let outgoing = dialect::outgoing(dialect, &batch, stream);
        let told = outgoing.unfit.len() as u64 + outgoing.unspoken;
        assert!(told <= batch.len() as u64, "more is left out than is there");
        let (count, _) = dialect::fitting(dialect, &batch, &HashSet::new());
        assert!(count > 0, "nothing fits, and nothing is under way");
    }
}
