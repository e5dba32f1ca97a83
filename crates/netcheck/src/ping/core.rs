//! All runs under way, without a socket or a clock: what is to be sent when, and what became of it.
use super::{
    clock::Now,
    history::History,
    run::{Request, Run},
    timeline::Timeline,
};
use crate::{
    Failure,
    icmp::{Access, Arrived, HEADER, Message, Reason, Shape, TOKEN, Token, Tokens, echo_request},
};
use std::net::IpAddr;

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
    tokens: Tokens,
    /// The identifier of all packets: routers that share their load by it send all of a target the same way.
    id: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    begun: u64,
    /// Runs whose next probe is to be sent.
    due: Timeline<Which>,
    /// Probes whose time ends.
    ending: Timeline<(Which, u32)>,
    pub(super) history: History,
    pub(super) counters: Counters,
    payload: Vec<u8>,
    /// Runs that are over, and of which nobody has heard.
    over: Vec<Run>,
    /// By which sort of socket each family is pinged.
    accesses: [Access; 2],
}

#[derive(Default)]
struct Slot {
    /// The run's number among all: that of the one before tells its late answers from forged ones.
    run: u64,
    before: u64,
    at_work: Option<Box<Run>>,
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
    pub(super) shape: Shape,
}

impl Core {
    pub(super) fn new(tokens: Tokens, id: u16, accesses: [Access; 2]) -> Self {
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
            over: Vec::new(),
            accesses,
        }
    }

    /// Begins a run.
    pub(super) fn begin(&mut self, request: Request, now: Now) {
        let delay = request.options.delay.as_nanos() as u64;
        self.begun += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let run = Box::new(Run::new(request, now));
        let place = &mut self.slots[slot as usize];
        (place.before, place.run) = (place.run, self.begun);
        place.at_work = Some(run);
        let which = Which { slot, run: self.begun };
        self.due.put(now.steady.saturating_add(delay), 0, which);
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
            let Some(run) = run_of(&self.slots, which) else {
                continue;
            };
            if run.is_given_up() {
                self.remove(which.slot);
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
                shape: run.shape,
            };
            echo_request(sending.to.is_ipv6(), self.id, token.probe as u16, &self.payload, packet);
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

    /// A packet arrived.
    pub(super) fn arrived(&mut self, arrived: &Arrived<'_>, is_v6: bool, now: u64) {
        if let Some(error) = arrived.error {
            // Our own packet, from its ICMP header on.
            let reason = Reason::new(is_v6, error.kind, error.code, error.info);
            let payload = arrived.packet.message.get(HEADER..);
            if let (Some(reason), Some(payload), Some(by)) = (reason, payload, arrived.from) {
                self.failed(payload, None, by, reason);
            }
            return;
        }
        match Message::parse(is_v6, arrived.packet.message) {
            Some(Message::EchoReply(echo)) => self.answered(echo.payload, arrived, now),
            Some(Message::Error(error)) => {
                let transport = error.quoted.transport;
                let is_ours = transport.get(4..6) == Some(&self.id.to_be_bytes()[..]);
                let (Some(by), true) = (arrived.from, is_ours) else {
                    return;
                };
                let sequence = u16::from_be_bytes([transport[6], transport[7]]);
                let short = Some((error.quoted.destination, sequence));
                self.failed(&transport[HEADER..], short, by, error.reason);
            }
            None => self.counters.malformed += 1,
        }
    }

    fn answered(&mut self, payload: &[u8], arrived: &Arrived<'_>, now: u64) {
        let Some(claim) = self.tokens.read(payload) else {
            self.counters.malformed += 1;
            return;
        };
        let Some(slot) = self.slots.get_mut(claim.slot as usize) else {
            self.counters.forged += 1;
            return;
        };
        let is_current = self.tokens.is_of(claim, slot.run);
        let Some(run) = slot.at_work.as_mut().filter(|_| is_current) else {
            let was = is_current || self.tokens.is_of(claim, slot.before);
            let counter = if was {
                &mut self.counters.late
            } else {
                &mut self.counters.forged
            };
            *counter += 1;
            return;
        };
        if arrived.from.is_some_and(|from| from != run.address()) {
            run.answered_by_another();
            return;
        }
        run.answered(claim.probe, arrived.stamp, now, arrived.packet.ttl);
        self.finish_if_over(claim.slot);
    }

    /// Somebody says that a probe did not come through; `short` is what is known of it where the quotation ends before the token.
    fn failed(&mut self, payload: &[u8], short: Option<(IpAddr, u16)>, by: IpAddr, reason: Reason) {
        let found = match self.tokens.read(payload) {
            Some(claim) => {
                let slot = self.slots.get(claim.slot as usize);
                let is_of = slot.is_some_and(|slot| self.tokens.is_of(claim, slot.run));
                is_of.then_some((claim.slot, claim.probe))
            }
            None if payload.len() < TOKEN => short.and_then(|(destination, sequence)| {
                // Routers that quote so little are rare, so nothing is kept for them.
                let mut slots = (0_u32..).zip(&self.slots);
                slots.find_map(|(slot, place)| {
                    let run = place.at_work.as_ref().filter(|run| run.address() == destination)?;
                    Some((slot, run.pending_by_sequence(sequence)?))
                })
            }),
            None => None,
        };
        let run =
            found.and_then(|(slot, probe)| Some((slot, probe, self.slots.get_mut(slot as usize)?.at_work.as_mut()?)));
        let Some((slot, probe, run)) = run else {
            self.counters.forged += 1;
            return;
        };
        run.unreachable(probe, by, reason);
        self.finish_if_over(slot);
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

    fn finish_if_over(&mut self, slot: u32) {
        let is_over = self.slots[slot as usize]
            .at_work
            .as_ref()
            .is_some_and(|run| run.is_over());
        if is_over && let Some(run) = self.remove(slot) {
            self.over.push(*run);
        }
    }

    /// Tells of the runs that are over, several at a time, and of the last one first: who waits for one after the other is woken
    /// once for all of them.
    pub(super) fn tell(&mut self) {
        for run in self.over.drain(..).rev() {
            let access = self.accesses[usize::from(run.address().is_ipv6())];
            run.finish(access, &self.history);
        }
    }

    fn remove(&mut self, slot: u32) -> Option<Box<Run>> {
        let run = self.slots[slot as usize].at_work.take()?;
        self.free.push(slot);
        Some(run)
    }
}

fn run_of(slots: &[Slot], which: Which) -> Option<&Run> {
    let slot = slots.get(which.slot as usize)?;
    slot.at_work.as_deref().filter(|_| slot.run == which.run)
}

fn run_of_mut(slots: &mut [Slot], which: Which) -> Option<&mut Run> {
    let slot = slots.get_mut(which.slot as usize)?;
    slot.at_work.as_deref_mut().filter(|_| slot.run == which.run)
}
