//! What is to be done at some time, in its order.
//!
//! Most of what is put here comes in order already, once for each distance: probes follow each other by one interval, and each
//! has one time-out. So there is a queue for each distance, which costs the same however long it is, and a heap only for what
//! comes out of order.
use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
};

/// More distances than this are not told apart: each costs a look.
const QUEUES_MOST: usize = 8;

/// Things with a time.
#[derive(Debug)]
pub(super) struct Timeline<T> {
    queues: Vec<(u64, VecDeque<At<T>>)>,
    heap: BinaryHeap<Reverse<At<T>>>,
}

#[derive(Debug)]
struct At<T> {
    at: u64,
    thing: T,
}

impl<T> Timeline<T> {
    pub(super) const fn new() -> Self {
        Self {
            queues: Vec::new(),
            heap: BinaryHeap::new(),
        }
    }

    /// Something is to be done at `at`, which is `distance` after the present.
    pub(super) fn put(&mut self, at: u64, distance: u64, thing: T) {
        let item = At { at, thing };
        let is_full = self.queues.len() >= QUEUES_MOST;
        match self.queues.iter_mut().find(|(of, _)| *of == distance) {
            Some((_, queue)) if queue.back().is_none_or(|last| last.at <= at) => queue.push_back(item),
            None if !is_full => self.queues.push((distance, [item].into())),
            _ => self.heap.push(Reverse(item)),
        }
    }

    /// When the first is due of those that are still wanted; others in front of it are forgotten.
    pub(super) fn next(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<u64> {
        while self.heap.peek().is_some_and(|Reverse(item)| !is_wanted(&item.thing)) {
            self.heap.pop();
        }
        for (_, queue) in &mut self.queues {
            while queue.front().is_some_and(|item| !is_wanted(&item.thing)) {
                queue.pop_front();
            }
        }
        self.queues.retain(|(_, queue)| !queue.is_empty());
        let fronts = self.queues.iter().filter_map(|(_, queue)| Some(queue.front()?.at));
        fronts.chain(self.heap.peek().map(|Reverse(item)| item.at)).min()
    }

    /// The first, if it is due by `now`, and when it was.
    pub(super) fn take(&mut self, now: u64) -> Option<(u64, T)> {
        let of_heap = self.heap.peek().map(|Reverse(item)| item.at).filter(|at| *at <= now);
        let fronts = self
            .queues
            .iter_mut()
            .filter_map(|(_, queue)| Some((queue.front()?.at, queue)));
        let first = fronts.filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at);
        let item = match first {
            Some((at, queue)) if of_heap.is_none_or(|of_heap| at <= of_heap) => queue.pop_front(),
            _ => of_heap.and_then(|_| self.heap.pop()).map(|Reverse(item)| item),
        };
        item.map(|item| (item.at, item.thing))
    }
}

impl<T> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for At<T> {}

impl<T> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_put_comes_in_its_order_and_only_when_it_is_due(
            things in prop::collection::vec((0_u64..50, 0_u64..12), 0..100),
            now in 0_u64..70,
        ) {
            let mut line = Timeline::new();
            for (number, (at, distance)) in things.iter().enumerate() {
                line.put(*at, *distance, number);
            }
            let mut due: Vec<u64> = things.iter().map(|(at, _)| *at).filter(|at| *at <= now).collect();
            due.sort_unstable();
            prop_assert_eq!(line.next(|_| true), things.iter().map(|(at, _)| *at).min());
            let mut taken = Vec::new();
            while let Some((at, number)) = line.take(now) {
                prop_assert_eq!(things[number].0, at);
                taken.push(at);
            }
            prop_assert_eq!(taken, due);
        }

        #[test]
        fn what_nobody_wants_is_forgotten(things in prop::collection::vec((0_u64..50, 0_u64..12, any::<bool>()), 0..100)) {
            let mut line = Timeline::new();
            for (at, distance, is_wanted) in &things {
                line.put(*at, *distance, *is_wanted);
            }
            let wanted = things.iter().filter(|(_, _, is_wanted)| *is_wanted).map(|(at, _, _)| *at).min();
            prop_assert_eq!(line.next(|is_wanted| *is_wanted), wanted);
        }
    }
}
