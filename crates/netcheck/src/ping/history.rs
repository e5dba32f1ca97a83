//! What this machine did that spoils measurements, for as long as a run may have begun before it.
use crate::{Doubt, Trust};
use std::{collections::VecDeque, time::Duration};

/// So much is remembered; what is older is forgotten, with the runs that it spoilt.
const KEPT: usize = 1024;

/// Something that spoils measurements; times in nanoseconds of the steady clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    from: u64,
    to: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The kernel dropped so many packets at our socket.
    Dropped(u64),
    /// The process did not run.
    Stalled,
    /// The wall clock was set by so much.
    Stepped(Duration),
}

/// What happened lately.
#[derive(Debug, Default)]
pub(super) struct History {
    events: VecDeque<Event>,
    /// The system tells how many packets it drops.
    pub(super) knows_drops: bool,
}

impl History {
    pub(super) fn dropped(&mut self, from: u64, to: u64, packets: u64) {
        self.note(from, to, What::Dropped(packets));
    }

    pub(super) fn stalled(&mut self, from: u64, to: u64) {
        self.note(from, to, What::Stalled);
    }

    pub(super) fn stepped(&mut self, at: u64, by: Duration) {
        self.note(at, at, What::Stepped(by));
    }

    fn note(&mut self, from: u64, to: u64, what: What) {
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Event { from, to, what });
    }

    /// Why nobody knows whether a probe without an answer was lost, that was sent at `sent` and had so long.
    pub(super) fn doubt(&self, sent: u64, timeout: u64) -> Option<Doubt> {
        let since = self.events.iter().rev().take_while(|event| event.to >= sent);
        let doubts = since.filter_map(|event| match event.what {
            What::Dropped(_) => Some(Doubt::Dropped),
            // What comes while the process does not run waits in the socket; but a machine that is stopped as a whole hears
            // nothing, which looks the same from here.
            What::Stalled => {
                let overlap = event
                    .to
                    .min(sent.saturating_add(timeout))
                    .saturating_sub(event.from.max(sent));
                (overlap.saturating_mul(2) >= timeout).then_some(Doubt::Stalled)
            }
            What::Stepped(_) => None,
        });
        doubts.min()
    }

    /// What there is to say of a run that began at `since`.
    pub(super) fn trust(&self, since: u64, slip: Duration) -> Trust {
        let mut trust = Trust {
            dropped: self.knows_drops.then_some(0),
            slip,
            ..Trust::default()
        };
        for event in self.events.iter().rev().take_while(|event| event.to >= since) {
            match event.what {
                What::Dropped(packets) => *trust.dropped.get_or_insert(0) += packets,
                What::Stalled => {
                    let length = Duration::from_nanos(event.to - event.from.max(since).min(event.to));
                    trust.stall = trust.stall.max(length);
                }
                What::Stepped(by) => trust.clock_step = trust.clock_step.max(by),
            }
        }
        trust
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_put_every_probe_in_doubt_that_was_under_way() {
        let mut history = History::default();
        history.dropped(100, 200, 3);
        assert_eq!(history.doubt(50, 100), Some(Doubt::Dropped));
        assert_eq!(history.doubt(150, 100), Some(Doubt::Dropped));
        assert_eq!(history.doubt(201, 100), None);
        assert_eq!(history.trust(150, Duration::ZERO).dropped, Some(3));
        assert_eq!(
            history.trust(201, Duration::ZERO).dropped,
            None,
            "the system does not tell"
        );
    }

    #[test]
    fn a_stall_matters_to_a_probe_that_it_took_half_of_the_time_of() {
        let mut history = History::default();
        history.stalled(1000, 2000);
        assert_eq!(history.doubt(900, 1000), Some(Doubt::Stalled));
        assert_eq!(history.doubt(1600, 1000), None);
        assert_eq!(history.doubt(10, 1000), None);
        let trust = history.trust(1500, Duration::ZERO);
        assert_eq!(
            (trust.stall, trust.clock_step),
            (Duration::from_nanos(500), Duration::ZERO)
        );
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut history = History::default();
        history.stepped(1, Duration::from_secs(9));
        (0..KEPT as u64).for_each(|at| history.stepped(at + 2, Duration::from_secs(1)));
        assert_eq!(history.trust(0, Duration::ZERO).clock_step, Duration::from_secs(1));
        assert_eq!(history.events.len(), KEPT);
    }
}
