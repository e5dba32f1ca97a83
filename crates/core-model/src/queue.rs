//! The contract of a durable queue of records for a server.
use crate::StreamId;
use chrono::{DateTime, Utc};

/// Consecutive records in one body. The body is opaque to the queue: whoever enqueues and whoever sends agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many records the body holds, at least one.
    pub records: u32,
    /// The records.
    pub body: Vec<u8>,
}

/// Sequence numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

/// The body of a run no longer has the checksum it was written with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records {} to {} are damaged on disk: their checksum does not match", .seqs.first, .seqs.last)]
pub struct Damaged {
    /// The records lost.
    pub seqs: SeqRange,
}

/// A run in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRun {
    /// The numbers of its records.
    pub seqs: SeqRange,
    /// When it was enqueued.
    pub enqueued_at: DateTime<Utc>,
    /// The body, or that it was damaged on disk.
    pub body: Result<Vec<u8>, Damaged>,
}

/// What is in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Records waiting.
    pub records: u64,
    /// Runs waiting.
    pub runs: u64,
    /// Bytes of the bodies waiting.
    pub bytes: u64,
    /// When the oldest run was enqueued.
    pub oldest: Option<DateTime<Utc>>,
    /// The highest sequence number given in the stream; 0 when none was.
    pub last_seq: u64,
    /// Records given up because a bound of the queue was reached, in all streams.
    pub dropped: u64,
    /// Records lost by damage on disk, in all streams.
    pub damaged: u64,
}

/// A durable queue: what `enqueue` returned survives `kill -9` and power loss, and stays until it is acknowledged.
///
/// Sequence numbers count the records of a stream from 1 without gaps. A queue has one stream at a time: opening another
/// takes what was left of the one before out of the queue, and whoever still works on that one is told nothing more and
/// can take nothing away. All calls may block on a disk.
pub trait Queue: Send + Sync {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The stream whose records these are now.
    fn stream(&self) -> StreamId;

    /// Adds runs in one transaction and gives their records the next numbers; `None` when `runs` is empty.
    fn enqueue(&self, runs: &[Run], now: DateTime<Utc>) -> Result<Option<SeqRange>, Self::Error>;

    /// The oldest runs of `stream` whose first number is above `after` (0: from the start), at most `max_runs`, in
    /// order; none where the queue has another stream by now.
    fn peek(&self, stream: StreamId, after: u64, max_runs: usize) -> Result<Vec<QueuedRun>, Self::Error>;

    /// Removes the runs of `stream` that begin with these numbers; unknown numbers and another stream are ignored, so
    /// that a repeat does no harm.
    fn ack(&self, stream: StreamId, first_seqs: &[u64]) -> Result<(), Self::Error>;

    /// What is waiting, in constant time.
    fn stats(&self) -> Result<QueueStats, Self::Error>;
}
