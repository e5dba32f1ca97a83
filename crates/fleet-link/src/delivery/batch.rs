//! Runs as they lie in the queue, the parts of them that travel together, and how those are cut.

use chrono::{DateTime, Utc};
use core_model::{BatchId, QueuedRun, SeqRange, StreamId};
use sha2::{Digest, Sha256};
use std::{ops::Range, sync::Arc};

/// A run read from the queue. A record is a line of its body.
#[derive(Debug)]
pub(super) struct LoadedRun {
    pub(super) first: u64,
    enqueued_at: DateTime<Utc>,
    body: Vec<u8>,
    /// Where each line begins, and where the last one ends.
    starts: Vec<usize>,
}

impl LoadedRun {
    /// The run, or the numbers of its records when the body is damaged or holds another number of records than it
    /// should: then it is not known which line bears which number.
    pub(super) fn new(run: QueuedRun) -> Result<Self, SeqRange> {
        let seqs = run.seqs;
        let body = run.body.map_err(|damaged| damaged.seqs)?;
        let mut starts = Vec::new();
        let mut at = 0;
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            if line != b"\n" {
                starts.push(at);
            }
            at += line.len();
        }
        if seqs.last.checked_sub(seqs.first).map(|span| span + 1) != Some(starts.len() as u64) {
            return Err(seqs);
        }
        starts.push(body.len());
        Ok(Self {
            first: seqs.first,
            enqueued_at: run.enqueued_at,
            body,
            starts,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

/// Consecutive records of one run.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    run: Arc<LoadedRun>,
    lines: Range<usize>,
}

impl Piece {
    pub(super) fn whole(run: Arc<LoadedRun>) -> Self {
        let lines = 0..run.len();
        Self { run, lines }
    }

    pub(super) fn run_first(&self) -> u64 {
        self.run.first
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn first(&self) -> u64 {
        self.run.first + self.lines.start as u64
    }

    pub(super) fn last(&self) -> u64 {
        self.run.first + self.lines.end as u64 - 1
    }

    fn text(&self, lines: Range<usize>) -> &[u8] {
        let at = |line: usize| self.run.starts.get(line).copied().unwrap_or(self.run.body.len());
        self.run.body.get(at(lines.start)..at(lines.end)).unwrap_or_default()
    }

    pub(super) fn body(&self) -> &[u8] {
        self.text(self.lines.clone())
    }

    fn line(&self, seq: u64) -> Option<&[u8]> {
        let line = usize::try_from(seq.checked_sub(self.run.first)?).ok()?;
        self.lines
            .contains(&line)
            .then(|| self.text(line..line + 1).trim_ascii_end())
    }

    /// The first `count` records, and the rest.
    pub(super) fn split(self, count: usize) -> (Self, Self) {
        let middle = self.lines.start + count.min(self.lines.len());
        let head = Self {
            run: Arc::clone(&self.run),
            lines: self.lines.start..middle,
        };
        let tail = Self {
            run: self.run,
            lines: middle..self.lines.end,
        };
        (head, tail)
    }
}

/// Consecutive records for one request; at least one.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pieces: Vec<Piece>,
}

impl Batch {
    pub(super) fn of(piece: Piece) -> Self {
        Self { pieces: vec![piece] }
    }

    /// Takes `piece` in if it follows.
    pub(super) fn follows(&self, piece: &Piece) -> bool {
        piece.first() == self.last() + 1
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    pub(super) fn first(&self) -> u64 {
        self.pieces.first().map_or(0, Piece::first)
    }

    pub(super) fn last(&self) -> u64 {
        self.pieces.last().map_or(0, Piece::last)
    }

    /// A record's line, without its line end.
    pub(super) fn line(&self, seq: u64) -> Option<&[u8]> {
        self.pieces.iter().find_map(|piece| piece.line(seq))
    }

    /// The first `count` records, and the rest; either may be absent.
    pub(super) fn split(self, count: usize) -> (Option<Self>, Option<Self>) {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        let mut wanted = count;
        for piece in self.pieces {
            let (mine, rest) = piece.split(wanted);
            wanted -= mine.len();
            head.extend((mine.len() > 0).then_some(mine));
            tail.extend((rest.len() > 0).then_some(rest));
        }
        let some = |pieces: Vec<Piece>| (!pieces.is_empty()).then_some(Self { pieces });
        (some(head), some(tail))
    }

    /// The request's id. It is made of what the request carries, so that the same records sent again, by this process
    /// or by the next, bear the same id.
    pub(super) fn id(&self, stream: StreamId) -> BatchId {
        let mut hash = Sha256::new();
        hash.update(stream.as_uuid().as_bytes());
        hash.update(self.first().to_be_bytes());
        hash.update(self.last().to_be_bytes());
        let mut random = [0; 10];
        random.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        let at = self
            .pieces
            .first()
            .map_or(DateTime::UNIX_EPOCH, |piece| piece.run.enqueued_at);
        BatchId::new(at, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, body: &str, records: u64) -> Result<LoadedRun, SeqRange> {
        LoadedRun::new(QueuedRun {
            seqs: SeqRange {
                first,
                last: first + records - 1,
            },
            enqueued_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            body: Ok(body.as_bytes().to_vec()),
        })
    }

    fn batch() -> Batch {
        let mut batch = Batch::of(Piece::whole(Arc::new(run(5, "a\nb\n\nc\n", 3).unwrap())));
        batch.push(Piece::whole(Arc::new(run(8, "d\ne", 2).unwrap())));
        batch
    }

    #[test]
    fn lines_are_found_by_number_wherever_the_batch_is_cut() {
        for cut in 0..=5 {
            let (head, tail) = batch().split(cut);
            assert_eq!(head.as_ref().map_or(0, Batch::len), cut);
            assert_eq!(tail.as_ref().map_or(0, Batch::len), 5 - cut);
            for (seq, expected) in (5..).zip(["a", "b", "c", "d", "e"]) {
                let half = if seq < 5 + cut as u64 { &head } else { &tail };
                let line = half.as_ref().and_then(|half| half.line(seq)).map(<[u8]>::trim_ascii);
                assert_eq!(line, Some(expected.as_bytes()), "cut {cut}, seq {seq}");
            }
        }
    }

    #[test]
    fn the_same_records_have_the_same_id_and_others_another() {
        let stream = StreamId::new(DateTime::UNIX_EPOCH, [1; 10]);
        let id = batch().id(stream);
        assert_eq!(id, batch().id(stream));
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_ne!(id, batch().split(4).0.unwrap().id(stream));
        assert_ne!(id, batch().id(StreamId::new(DateTime::UNIX_EPOCH, [2; 10])));
    }

    #[test]
    fn a_run_with_another_number_of_lines_than_records_is_damaged() {
        assert!(run(1, "a\nb\n", 3).is_err());
        assert!(run(1, "a\nb\n", 1).is_err());
        assert!(run(1, "", 1).is_err());
    }
}
