//! What has been read from the queue and not yet been answered for: which records go next, and which runs are done.

use super::batch::{Batch, LoadedRun, Piece};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The records of one round of delivery.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Batches that were cut for a reason and are sent as they are.
    again: VecDeque<Batch>,
    /// Pieces in the order of the queue.
    fresh: VecDeque<Piece>,
    fresh_records: usize,
    /// For each run, how many of its records are not yet accepted or rejected.
    open: HashMap<u64, usize>,
}

impl Pending {
    pub(super) fn add(&mut self, run: LoadedRun) {
        self.open.insert(run.first, run.len());
        self.fresh_records += run.len();
        self.fresh.push_back(Piece::whole(Arc::new(run)));
    }

    /// Records that wait to be put into a request.
    pub(super) fn waiting(&self) -> usize {
        self.fresh_records + self.again.iter().map(Batch::len).sum::<usize>()
    }

    /// The next records to send: whole runs, consecutive, at most `limit` records; a run that alone is longer is cut.
    pub(super) fn next(&mut self, limit: usize) -> Option<Batch> {
        if let Some(batch) = self.again.pop_front() {
            return Some(batch);
        }
        let first = self.fresh.pop_front()?;
        let (first, rest) = first.split(limit);
        if rest.len() > 0 {
            self.fresh.push_front(rest);
        }
        let mut batch = Batch::of(first);
        let mut room = limit.saturating_sub(batch.len());
        while let Some(piece) = self
            .fresh
            .pop_front_if(|piece| piece.len() <= room && batch.follows(piece))
        {
            room -= piece.len();
            batch.push(piece);
        }
        self.fresh_records = self.fresh_records.saturating_sub(batch.len());
        Some(batch)
    }

    /// Takes back records that have to be sent (again), ahead of all others and not joined with any.
    pub(super) fn put_back(&mut self, batches: impl IntoIterator<Item = Batch>) {
        let mut batches: VecDeque<Batch> = batches.into_iter().collect();
        batches.append(&mut self.again);
        self.again = batches;
    }

    /// Cuts everything that waits to be sent as it is down to `limit` records each.
    pub(super) fn shrink(&mut self, limit: usize) {
        let mut cut = VecDeque::new();
        for batch in self.again.drain(..) {
            let mut rest = Some(batch);
            while let Some(batch) = rest {
                let (head, tail) = batch.split(limit);
                cut.extend(head);
                rest = tail;
            }
        }
        self.again = cut;
    }

    /// Each record of `batch` was accepted or rejected: the first numbers of the runs of which that was the rest.
    pub(super) fn finish(&mut self, batch: Batch) -> Vec<u64> {
        let mut done = Vec::new();
        for piece in batch.into_pieces() {
            let first = piece.run_first();
            if let Some(open) = self.open.get_mut(&first) {
                *open = open.saturating_sub(piece.len());
                if *open == 0 {
                    self.open.remove(&first);
                    done.push(first);
                }
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use core_model::{QueuedRun, SeqRange};

    /// Runs of these lengths, from number 1 on; a negative length is a gap.
    fn pending(lengths: &[i64]) -> Pending {
        let mut pending = Pending::default();
        let mut first = 1;
        for length in lengths {
            let records = length.unsigned_abs();
            if *length > 0 {
                let run = QueuedRun {
                    seqs: SeqRange {
                        first,
                        last: first + records - 1,
                    },
                    enqueued_at: DateTime::UNIX_EPOCH,
                    body: Ok(b"x\n".repeat(usize::try_from(records).unwrap())),
                };
                pending.add(LoadedRun::new(run).unwrap());
            }
            first += records;
        }
        pending
    }

    fn ranges(pending: &mut Pending, limit: usize) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| pending.next(limit))
            .map(|batch| (batch.first(), batch.last()))
            .collect()
    }

    #[test]
    fn requests_carry_whole_consecutive_runs_within_the_limit() {
        for (lengths, limit, expected) in [
            (vec![4, 4, 4], 10, vec![(1, 8), (9, 12)]),
            (vec![4, -1, 4], 10, vec![(1, 4), (6, 9)]),
            (vec![25, 3], 10, vec![(1, 10), (11, 20), (21, 28)]),
            (vec![1, 1, 1], 1, vec![(1, 1), (2, 2), (3, 3)]),
        ] {
            let mut pending = pending(&lengths);
            assert_eq!(ranges(&mut pending, limit), expected, "{lengths:?}");
            assert_eq!(pending.waiting(), 0);
        }
    }

    #[test]
    fn a_run_is_done_with_its_last_record_in_whatever_order() {
        let mut pending = pending(&[5, 2]);
        let (a, b, c) = (
            pending.next(2).unwrap(),
            pending.next(2).unwrap(),
            pending.next(3).unwrap(),
        );
        assert_eq!(
            (c.first(), c.last()),
            (5, 7),
            "the rest of a run that was cut is joined with the next"
        );
        assert_eq!(pending.finish(c), [6]);
        assert!(pending.finish(a).is_empty());
        assert_eq!(pending.finish(b), [1]);
    }

    #[test]
    fn what_comes_back_goes_first_and_stays_narrow() {
        let mut pending = pending(&[4, 4]);
        let (head, tail) = pending.next(4).unwrap().split(2);
        pending.put_back(head.into_iter().chain(tail));
        assert_eq!(pending.waiting(), 8);
        assert_eq!(ranges(&mut pending, 10), [(1, 2), (3, 4), (5, 8)]);
    }

    #[test]
    fn shrinking_cuts_what_came_back() {
        let mut pending = pending(&[7]);
        let batch = pending.next(10).unwrap();
        pending.put_back([batch]);
        pending.shrink(3);
        assert_eq!(ranges(&mut pending, 10), [(1, 3), (4, 6), (7, 7)]);
    }
}
