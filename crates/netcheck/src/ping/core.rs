//! All runs under way, without a socket or a clock: what is to be sent when, and what became of it.
use super::{
    clock::Now,
    history::History,
    run::{Asked, Run},
    timeline::Timeline,
};
use crate::{
    Failure,
    icmp::{Access, TOKEN, Token, Tokens, echo_request, level_sum},
    socket::{Carrier, Shape},
};
use std::net::IpAddr;

/// A run with a shorter interval has its probes sent each by itself. Nanoseconds.
const BRISK: u64 = 10_000_000;

/// What arrived and belongs to no run, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counters {
    /// Answers to probes of runs that are over.
    pub late: u64,
    /// Answers with a token that is nobody's: malformed, or forged.
    pub forged: u64,
    /// Packets that are no answer to anything.
    pub malformed: u64,
}

/// All runs under way.
pub(super) struct Core {
    pub(super) tokens: Tokens,
    /// The identifier of all packets: routers that share their load by it send all of a target the same way.
    pub(super) id: u16,
    pub(super) slots: Vec<Slot>,
    free: Vec<u32>,
    begun: u64,
    /// Runs whose next probe is to be sent.
    due: Timeline<Which>,
    /// Probes whose time ends.
    ending: Timeline<(Which, u32)>,
    pub(super) history: History,
    pub(super) counters: Counters,
    payload: Vec<u8>,
    /// Runs under way whose probes are to be sent each by itself.
    brisk: usize,
    /// Runs that are over, and of which nobody has heard.
    over: Vec<Asked>,
    /// By which sort of socket each family is pinged.
    accesses: [Option<Access>; 2],
}

#[derive(Default)]
pub(super) struct Slot {
    /// The run's number among all: that of the one before tells its late answers from forged ones.
    pub(super) run: u64,
    pub(super) before: u64,
    at_work: Option<Asked>,
}

/// A run, where it still has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Which {
    slot: u32,
    run: u64,
}

/// A probe that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// When it was to be, by the steady clock.
    at: u64,
    which: Which,
}

/// Where a probe goes, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) to: IpAddr,
    pub(super) carrier: Carrier,
    pub(super) shape: Shape,
}

impl Core {
    pub(super) fn new(tokens: Tokens, id: u16, accesses: [Option<Access>; 2]) -> Self {
        Self {
            tokens,
            id,
            slots: Vec::new(),
            free: Vec::new(),
            begun: 0,
            due: Timeline::new(),
            ending: Timeline::new(),
            history: History::default(),
            counters: Counters::default(),
            payload: Vec::new(),
            brisk: 0,
            over: Vec::new(),
            accesses,
        }
    }

    /// Begins a run.
    pub(super) fn begin(&mut self, mut asked: Asked, now: Now) {
        let run = &mut asked.run;
        run.began = now.steady;
        let due = now.steady.saturating_add(run.delay);
        self.brisk += usize::from(run.interval < BRISK);
        self.begun += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        (place.before, place.run) = (place.run, self.begun);
        place.at_work = Some(asked);
        let which = Which { slot, run: self.begun };
        self.due.put(due, 0, which);
    }

    /// Sends no more: what is under way has its time.
    pub(super) fn wind_down(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            if let Some(run) = self.slots[slot as usize].run_mut() {
                run.wind_down();
                self.finish_if_over(slot);
            }
        }
    }

    /// Whether a probe that is due may wait a little for others.
    pub(super) const fn may_gather(&self) -> bool {
        self.brisk == 0
    }

    /// When the next probe is due.
    pub(super) fn next_due(&mut self) -> Option<u64> {
        self.due.next(|_| true)
    }

    /// When the time of the next probe ends that has not been answered yet.
    pub(super) fn next_ending(&mut self) -> Option<u64> {
        let slots = &self.slots;
        let is_pending =
            |(which, probe): &(Which, u32)| run_of(slots, *which).is_some_and(|run| run.is_pending(*probe));
        self.ending.next(is_pending)
    }

    /// The probe that is due by now, written to `packet`.
    pub(super) fn take_due(&mut self, now: u64, packet: &mut Vec<u8>) -> Option<(Due, Sending)> {
        loop {
            let (at, which) = self.due.take(now)?;
            let Some(asked) = asked_of(&self.slots, which) else {
                continue;
            };
            if asked.is_given_up() {
                self.remove(which.slot);
                continue;
            }
            let run = &asked.run;
            if !run.has_more() {
                continue;
            }
            let token = Token {
                slot: which.slot,
                probe: run.next(),
                run: which.run,
            };
            self.payload.clear();
            self.payload.extend((0..run.size()).map(|at| at as u8));
            if let Some(place) = self.payload.first_chunk_mut::<TOKEN>() {
                self.tokens.write(token, place);
            }
            let sending = Sending {
                to: run.address(),
                carrier: run.carrier(),
                shape: run.shape,
            };
            match sending.carrier {
                Carrier::Echo => {
                    let sequence = run.sequence(token.probe);
                    level_sum(self.id, sequence, &mut self.payload, TOKEN);
                    echo_request(sending.to.is_ipv6(), self.id, sequence, &self.payload, packet);
                }
                Carrier::Udp { .. } => packet.clone_from(&self.payload),
            }
            return Some((Due { at, which }, sending));
        }
    }

    /// The probe was sent at `at`.
    pub(super) fn sent(&mut self, due: Due, at: Now) {
        let Some(run) = run_of_mut(&mut self.slots, due.which) else {
            return;
        };
        let (timeout, probe) = (run.timeout, run.next());
        run.sent(at, at.steady.saturating_sub(due.at));
        self.ending
            .put(at.steady.saturating_add(timeout), timeout, (due.which, probe));
        self.go_on(due);
    }

    /// The probe could not be sent, and that will not change.
    pub(super) fn unsent(&mut self, due: Due, at: Now, failure: Failure) {
        if let Some(run) = run_of_mut(&mut self.slots, due.which) {
            run.unsent(at, failure);
            self.go_on(due);
            self.finish_if_over(due.which.slot);
        }
    }

    /// The probe could not be sent now, and is still due.
    pub(super) fn postpone(&mut self, due: Due) {
        self.due.put(due.at, 0, due.which);
    }

    fn go_on(&mut self, due: Due) {
        if let Some(run) = run_of(&self.slots, due.which).filter(|run| run.has_more()) {
            // From when it was due, not from when it was sent: slips do not add up.
            let at = due.at.saturating_add(run.interval);
            self.due.put(at, run.interval, due.which);
        }
    }

    /// Ends probes whose time is over.
    pub(super) fn end(&mut self, now: u64) {
        while let Some((_, (which, probe))) = self.ending.take(now) {
            let history = &self.history;
            if let Some(run) = run_of_mut(&mut self.slots, which).filter(|run| run.is_pending(probe)) {
                run.expired(probe, history);
                self.finish_if_over(which.slot);
            }
        }
    }

    pub(super) fn finish_if_over(&mut self, slot: u32) {
        let is_over = self.slots[slot as usize].run().is_some_and(Run::is_over);
        if is_over && let Some(asked) = self.remove(slot) {
            self.over.push(asked);
        }
    }

    /// Tells of the runs that are over, several at a time, and of the last one first: who waits for one after the other is woken
    /// once for all of them.
    pub(super) fn tell(&mut self) {
        for asked in self.over.drain(..).rev() {
            let access = match asked.run.carrier() {
                Carrier::Echo => self.accesses[usize::from(asked.run.address().is_ipv6())],
                Carrier::Udp { .. } => None,
            };
            asked.finish(access, &self.history);
        }
    }

    fn remove(&mut self, slot: u32) -> Option<Asked> {
        let asked = self.slots[slot as usize].at_work.take()?;
        self.brisk -= usize::from(asked.run.interval < BRISK);
        self.free.push(slot);
        Some(asked)
    }
}

impl Slot {
    pub(super) fn run(&self) -> Option<&Run> {
        self.at_work.as_ref().map(|asked| &*asked.run)
    }

    pub(super) fn run_mut(&mut self) -> Option<&mut Run> {
        self.at_work.as_mut().map(|asked| &mut *asked.run)
    }
}

fn asked_of(slots: &[Slot], which: Which) -> Option<&Asked> {
    let slot = slots.get(which.slot as usize)?;
    slot.at_work.as_ref().filter(|_| slot.run == which.run)
}

fn run_of(slots: &[Slot], which: Which) -> Option<&Run> {
    asked_of(slots, which).map(|asked| &*asked.run)
}

fn run_of_mut(slots: &mut [Slot], which: Which) -> Option<&mut Run> {
    let slot = slots.get_mut(which.slot as usize)?;
    let is_it = slot.run == which.run;
    slot.run_mut().filter(|_| is_it)
}
