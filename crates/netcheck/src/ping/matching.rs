//! Which probe it is that something arrived about.
use super::{
    core::Core,
    run::{Run, Told},
};
use crate::{
    errqueue::Queued,
    icmp::{HEADER, Message, Reason, TOKEN},
    socket::Arrived,
};
use std::net::IpAddr;

/// What is known of a packet of ours without its token.
#[derive(Clone, Copy, Debug)]
struct Short {
    destination: IpAddr,
    /// From which port it was, if it was of UDP.
    flow: Option<u16>,
    /// The number of an echo request.
    sequence: Option<u16>,
}

impl Core {
    /// A packet arrived at the socket for pings of that version.
    pub(super) fn arrived(&mut self, arrived: &Arrived<'_>, is_v6: bool, now: u64) {
        if arrived.error.is_some() {
            // Our own packet, from its ICMP header on.
            let message = arrived.packet.message;
            let sequence = message.get(6..8).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
            let which = (None, sequence);
            self.refused(arrived, is_v6, message.get(HEADER..), which, now);
            return;
        }
        match Message::parse(is_v6, arrived.packet.message) {
            Some(Message::EchoReply(echo)) => self.answered(echo.payload, None, arrived, now),
            Some(Message::Error(error)) => {
                let transport = error.quoted.transport;
                let (protocol, request) = if is_v6 { (58, 128) } else { (1, 8) };
                let is_request = error.quoted.protocol == protocol && transport[0] == request;
                let is_ours = is_request && transport.get(4..6) == Some(&self.id.to_be_bytes()[..]);
                let (Some(by), true) = (arrived.from, is_ours) else {
                    return;
                };
                let sequence = u16::from_be_bytes([transport[6], transport[7]]);
                let short = Short {
                    destination: error.quoted.destination,
                    flow: None,
                    sequence: Some(sequence),
                };
                let told = Told {
                    by,
                    reason: error.reason,
                    mpls: error.extensions.mpls,
                    stamp: arrived.stamp,
                };
                self.failed(&transport[HEADER..], Some(short), told, now);
            }
            None => self.counters.malformed += 1,
        }
    }

    /// A datagram arrived at the port of that flow, or what was said about one.
    pub(super) fn datagram_arrived(&mut self, arrived: &Arrived<'_>, is_v6: bool, flow: u16, now: u64) {
        let payload = arrived.packet.message;
        if arrived.error.is_some() {
            self.refused(arrived, is_v6, Some(payload), (Some(flow), None), now);
        } else {
            self.answered(payload, Some(flow), arrived, now);
        }
    }

    /// What an error queue tells about a packet of ours with that payload, of that flow or with that number as an echo request.
    fn refused(
        &mut self,
        arrived: &Arrived<'_>,
        is_v6: bool,
        payload: Option<&[u8]>,
        (flow, sequence): (Option<u16>, Option<u16>),
        now: u64,
    ) {
        let (Some(said), Some(payload), Some(by)) = (arrived.error, payload, arrived.from) else {
            return;
        };
        let Queued { kind, code, info, .. } = said.queued;
        let Some(reason) = Reason::new(is_v6, kind, code, info) else {
            return;
        };
        let short = said.destination.map(|destination| Short {
            destination,
            flow,
            sequence,
        });
        let told = Told {
            by,
            reason,
            mpls: Vec::new(),
            stamp: arrived.stamp,
        };
        self.failed(payload, short, told, now);
    }

    fn answered(&mut self, payload: &[u8], flow: Option<u16>, arrived: &Arrived<'_>, now: u64) {
        let Some(claim) = self.tokens.read(payload) else {
            self.counters.malformed += 1;
            return;
        };
        let Some(slot) = self.slots.get_mut(claim.slot as usize) else {
            self.counters.forged += 1;
            return;
        };
        let is_current = self.tokens.is_of(claim, slot.run);
        let before = slot.before;
        let Some(run) = slot.run_mut().filter(|_| is_current) else {
            let was = is_current || self.tokens.is_of(claim, before);
            let counter = if was {
                &mut self.counters.late
            } else {
                &mut self.counters.forged
            };
            *counter += 1;
            return;
        };
        if arrived.from.is_some_and(|from| from != run.address()) || run.carrier().flow() != flow {
            run.answered_by_another();
            return;
        }
        run.answered(claim.probe, arrived.stamp, now, arrived.packet.ttl);
        self.finish_if_over(claim.slot);
    }

    /// Somebody says that a probe did not come through; `short` is what is known of it where the quotation ends before the token.
    fn failed(&mut self, payload: &[u8], short: Option<Short>, told: Told, now: u64) {
        let found = match self.tokens.read(payload) {
            Some(claim) => {
                let slot = self.slots.get(claim.slot as usize);
                let is_of = slot.is_some_and(|slot| self.tokens.is_of(claim, slot.run));
                is_of.then_some((claim.slot, claim.probe))
            }
            None if payload.len() < TOKEN => short.and_then(|short| self.find_by(short)),
            None => None,
        };
        let run = found.and_then(|(slot, probe)| Some((slot, probe, self.slots.get_mut(slot as usize)?.run_mut()?)));
        let Some((slot, probe, run)) = run else {
            self.counters.forged += 1;
            return;
        };
        run.refused(probe, told, now);
        self.finish_if_over(slot);
    }

    /// The probe that an error is about which quotes too little of it. Routers that quote so little are few, so nothing is kept for
    /// them.
    fn find_by(&mut self, short: Short) -> Option<(u32, u32)> {
        let slots = (0_u32..).zip(&mut self.slots);
        let runs = slots.filter_map(|(slot, place)| Some((slot, place.run_mut()?)));
        let runs = runs.filter(|(_, run)| run.address() == short.destination && run.carrier().flow() == short.flow);
        let mut pending: Vec<(u32, u32, &mut Run)> = runs
            .filter_map(|(slot, run)| Some((slot, run.pending(short.sequence)?, run)))
            .collect();
        if short.sequence.is_none() && pending.len() > 1 {
            // It may be any of them: whoever waits is told, so that he can send one at a time.
            pending.iter_mut().for_each(|(_, _, run)| run.hears_too_little());
            return None;
        }
        pending.first().map(|(slot, probe, _)| (*slot, *probe))
    }
}
