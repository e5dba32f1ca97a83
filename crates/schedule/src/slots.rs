//! A limited number of parallel runs, shared by priority.
use std::num::NonZeroUsize;

/// How urgent a job is: the higher goes first.
pub type Priority = u8;

/// A limited number of runs at a time. Who finds none free waits; the most urgent goes first, and of equals the one that
/// waits longest.
///
/// Nobody waits for ever: whoever is passed over gains one step of priority.
///
/// ```
/// use schedule::Slots;
/// use std::num::NonZeroUsize;
/// let mut slots = Slots::new(NonZeroUsize::MIN);
/// assert_eq!(slots.request("scan", 10), Some("scan"));
/// assert_eq!(slots.request("backup", 10), None);
/// assert_eq!(slots.request("restore", 200), None);
/// assert_eq!(slots.release(), Some("restore"));
/// assert_eq!(slots.release(), Some("backup"));
/// ```
#[derive(Debug, Clone)]
pub struct Slots<T> {
    most: NonZeroUsize,
    running: usize,
    /// In order of arrival.
    waiting: Vec<(Priority, T)>,
}

impl<T> Slots<T> {
    /// So many runs at a time.
    pub fn new(most: NonZeroUsize) -> Self {
        Self {
            most,
            running: 0,
            waiting: Vec::new(),
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Those that wait, in order of arrival.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().map(|(_, job)| job)
    }

    /// Wants to run. Handed back, it may; else it waits.
    pub fn request(&mut self, job: T, priority: Priority) -> Option<T> {
        self.waiting.push((priority, job));
        self.next()
    }

    /// A run has ended. Who is handed back may run now.
    pub fn release(&mut self) -> Option<T> {
        self.running = self.running.saturating_sub(1);
        self.next()
    }

    /// From now on so many at a time. With fewer, those that run go on; with more, call [`Slots::next`] until it has
    /// none.
    pub fn set_most(&mut self, most: NonZeroUsize) {
        self.most = most;
    }

    /// Who may run now, if a run is free and somebody waits.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is no iterator: each that is handed out takes a run"
    )]
    pub fn next(&mut self) -> Option<T> {
        if self.running >= self.most.get() {
            return None;
        }
        // Of equals the last in reverse order is the first that came.
        let urgent = |(_, (priority, _)): &(usize, &(Priority, T))| *priority;
        let (place, _) = self.waiting.iter().enumerate().rev().max_by_key(urgent)?;
        for (priority, _) in &mut self.waiting[..place] {
            *priority = priority.saturating_add(1);
        }
        self.running += 1;
        Some(self.waiting.remove(place).1)
    }

    /// Those for which this holds wait no longer, as when a job is taken out of the settings. Tells how many they were.
    pub fn withdraw(&mut self, mut is_gone: impl FnMut(&T) -> bool) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|(_, job)| !is_gone(job));
        before - self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(most: usize) -> Slots<u32> {
        Slots::new(NonZeroUsize::new(most).unwrap())
    }

    #[test]
    fn no_more_run_than_may_and_the_urgent_go_first() {
        let mut slots = slots(2);
        assert_eq!((slots.request(1, 0), slots.request(2, 0)), (Some(1), Some(2)));
        for (job, priority) in [(3, 5), (4, 9), (5, 9), (6, 5)] {
            assert_eq!(slots.request(job, priority), None);
        }
        assert_eq!(slots.waiting().copied().collect::<Vec<_>>(), [3, 4, 5, 6]);
        let order: Vec<_> = std::iter::from_fn(|| slots.release()).collect();
        assert_eq!(order, [4, 5, 3, 6]);
        assert_eq!(slots.running(), 1, "the last one still runs");
    }

    #[test]
    fn a_changed_limit_holds_from_the_next_run_on() {
        let mut slots = slots(3);
        for job in 0..6 {
            let _ = slots.request(job, 0);
        }
        slots.set_most(NonZeroUsize::MIN);
        assert_eq!((slots.release(), slots.release(), slots.running()), (None, None, 1));
        slots.set_most(NonZeroUsize::new(3).unwrap());
        assert_eq!((slots.next(), slots.next(), slots.next()), (Some(3), Some(4), None));
        assert_eq!((slots.withdraw(|job| *job == 5), slots.release()), (1, None));
    }

    #[test]
    fn the_patient_are_served_however_many_urgent_ones_come() {
        let mut slots = slots(1);
        assert_eq!(slots.request(0, 0), Some(0));
        assert_eq!(slots.request(1, 10), None);
        let mut served = 0;
        for urgent in 100.. {
            assert_eq!(slots.request(urgent, 30), None);
            served += 1;
            if slots.release() == Some(1) {
                break;
            }
        }
        assert_eq!(served, 21, "twenty steps up, and then it was there first");
    }

    #[test]
    fn ends_that_nobody_began_make_no_room() {
        let mut slots = slots(1);
        assert_eq!((slots.release(), slots.release()), (None, None));
        assert_eq!((slots.request(1, 0), slots.request(2, 0)), (Some(1), None));
    }
}
