//! Files on their way from the walk to the judge, several at a time: to wake another thread costs as much as to open a
//! file.
use super::{job::Job, judge::Sent};
use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::mpsc;

/// So many go over together, unless the judge is about to run out.
const TOGETHER: usize = 8;

/// Files that go over together.
pub(super) type Batch = Vec<Sent>;

/// How many files the judge has in hand: at clamd, or next in turn.
pub(super) type InHand = Arc<AtomicUsize>;

/// Room for about twice as many files as are under way at once, each of which holds a descriptor.
pub(super) const fn room(window: usize) -> usize {
    let batches = window * 2 / TOGETHER;
    if batches < 2 { 2 } else { batches }
}

/// One thread's end of the way.
pub(super) struct Hand {
    jobs: mpsc::Sender<Batch>,
    in_hand: InHand,
    /// With fewer in its hand, the judge is given what there is at once.
    few: usize,
    batch: Batch,
}

/// The judge has gone; these are nobody's.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Vec<Job>);

impl Hand {
    /// Leads to a judge that asks about up to `window` files at once.
    pub(super) const fn new(jobs: mpsc::Sender<Batch>, in_hand: InHand, window: usize) -> Self {
        Self {
            jobs,
            in_hand,
            few: window / 2,
            batch: Vec::new(),
        }
    }

    /// Another end of the same way.
    pub(super) fn another(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
            in_hand: Arc::clone(&self.in_hand),
            few: self.few,
            batch: Vec::new(),
        }
    }

    /// Gives a file, soon. Blocks while the judge has enough.
    ///
    /// # Errors
    /// With all that it should have got, when it has gone.
    pub(super) fn give(&mut self, job: Box<Job>) -> Result<(), Refused> {
        self.batch.push(Sent::Ask(job));
        if self.batch.len() < TOGETHER {
            return self.give_if_wanted();
        }
        self.give_all()
    }

    /// Gives what there is if the judge is about to run out.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub(super) fn give_if_wanted(&mut self) -> Result<(), Refused> {
        let is_empty = self.jobs.capacity() == self.jobs.max_capacity();
        if is_empty && self.in_hand.load(Relaxed) < self.few {
            return self.give_all();
        }
        Ok(())
    }

    /// Gives what there is.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub(super) fn give_all(&mut self) -> Result<(), Refused> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = mem::replace(&mut self.batch, Vec::with_capacity(TOGETHER));
        self.jobs.blocking_send(batch).map_err(|refused| {
            let jobs = refused.0.into_iter().filter_map(|sent| match sent {
                Sent::Ask(job) => Some(*job),
                Sent::Ended { .. } => None,
            });
            Refused(jobs.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{job::By, wanted::Wanted};
    use fsscan::FileStat;

    const WINDOW: usize = 16;

    fn job() -> Box<Job> {
        let by = Arc::new(By {
            wanted: Arc::new(Wanted::beside_rules("rule")),
            scan: None,
            quarantine: None,
            most: u64::MAX,
        });
        let file = tempfile::tempfile().unwrap();
        let stat = FileStat::of(&file).unwrap();
        Box::new(Job::new(file, stat, (*b"file").into(), None, None, &by, 0).unwrap())
    }

    #[test]
    fn a_judge_that_runs_out_gets_each_file_at_once_and_others_get_several_together() {
        let (jobs, mut judge) = mpsc::channel(room(WINDOW));
        let in_hand = InHand::default();
        let mut hand = Hand::new(jobs, Arc::clone(&in_hand), WINDOW);
        hand.give(job()).unwrap();
        assert_eq!(judge.try_recv().unwrap().len(), 1);
        in_hand.store(WINDOW / 2, Relaxed);
        for _ in 1..TOGETHER {
            hand.give(job()).unwrap();
            assert!(judge.try_recv().is_err(), "it has enough");
        }
        hand.give(job()).unwrap();
        assert_eq!(judge.try_recv().unwrap().len(), TOGETHER);
        // What is held back goes when the judge runs out, or at the end.
        hand.give(job()).unwrap();
        in_hand.store(0, Relaxed);
        hand.give_if_wanted().unwrap();
        assert_eq!(judge.try_recv().unwrap().len(), 1);
        in_hand.store(WINDOW, Relaxed);
        hand.give(job()).unwrap();
        hand.give_all().unwrap();
        assert_eq!(judge.try_recv().unwrap().len(), 1);
    }

    #[test]
    fn what_nobody_takes_is_given_back_whole() {
        let (jobs, judge) = mpsc::channel(room(WINDOW));
        let mut hand = Hand::new(jobs, Arc::new(AtomicUsize::new(WINDOW)), WINDOW);
        (1..TOGETHER).for_each(|_| hand.give(job()).unwrap());
        drop(judge);
        assert_eq!(hand.give(job()).unwrap_err().0.len(), TOGETHER);
        hand.give_all().unwrap();
    }
}
