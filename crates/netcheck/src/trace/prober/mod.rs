//! One probe, and what came of it, by whichever protocol.
mod tcp;

pub(super) use tcp::Ports;

use super::{
    discovery::Came,
    options::{Protocol, TraceOptions},
};
use crate::{
    Doubt, Failure, Trust,
    icmp::{Access, MplsLabel, Reason},
    one_host::is_one_host,
    ping::{Outcome, PingOptions, PingReport, Pinger},
    socket::Carrier,
};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The headers of a probe before what it carries, in bytes, by version of IP: those of ICMP and UDP are as long.
const HEADERS: [u16; 2] = [20 + 8, 40 + 8];

/// A probe that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shot {
    /// From which of our ports.
    pub(super) flow: u16,
    /// How many routers may pass it on, and one: the hop that shall answer.
    pub(super) ttl: u8,
    /// Its number as an echo request: routers that quote too little for the token quote that. Of those under way at a time each has
    /// another.
    pub(super) number: u16,
    /// The length of the packet with its IP header, in bytes.
    pub(super) size: u16,
    /// How long an answer may take.
    pub(super) timeout: Duration,
}

/// The number of one of the probes of a hop.
pub(super) fn number(hop: u8, round: u32) -> u16 {
    (round as u16) << 8 | u16::from(hop)
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// Somebody answered.
    Answer(Answer),
    /// Nobody did.
    Nothing,
    /// Nobody did, as far as this machine can tell.
    Unknown(Doubt),
    /// Somebody did, and nobody knows whether it was about this probe.
    Untold,
    /// It was not sent.
    Unsent(Failure),
}

impl Answer {
    /// Whether the probe came to the target: it answered, or refused by itself.
    pub(super) fn is_of(&self, target: IpAddr) -> bool {
        let is_passed = matches!(
            self.reason,
            Some(Reason::TimeExceeded | Reason::TooBig { .. } | Reason::Reassembly)
        );
        self.reason.is_none() || (self.by == target && !is_passed)
    }
}

impl Seen {
    /// What it says of the length of the way.
    pub(super) fn came(&self) -> Came {
        match self {
            Self::Answer(answer) if answer.reason == Some(Reason::TimeExceeded) => Came::Passed,
            Self::Answer(_) | Self::Unsent(_) => Came::Ended,
            Self::Nothing | Self::Unknown(_) => Came::Nothing,
            Self::Untold => Came::Untold,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) by: IpAddr,
    pub(super) rtt: Duration,
    /// `None`: the target's own answer. It may also refuse, and has been reached all the same.
    pub(super) reason: Option<Reason>,
    pub(super) mpls: Vec<MplsLabel>,
}

/// Sends the probes of one trace.
#[derive(Debug)]
pub(super) struct Prober {
    pinger: Arc<Pinger>,
    ports: Arc<Ports>,
    pub(super) to: IpAddr,
    options: TraceOptions,
    trust: Mutex<Trust>,
}

impl Prober {
    /// # Errors
    /// When the options cannot be, the target is not one host, or this process may send no such probes.
    pub(super) fn new(
        pinger: Arc<Pinger>,
        ports: Arc<Ports>,
        to: IpAddr,
        options: TraceOptions,
    ) -> Result<Self, Failure> {
        options.check()?;
        is_one_host(to)?;
        if options.protocol == Protocol::Icmp {
            pinger.access(to.is_ipv6()).map_err(Clone::clone)?;
        }
        Ok(Self {
            pinger,
            ports,
            to,
            options,
            trust: Mutex::default(),
        })
    }

    pub(super) const fn options(&self) -> &TraceOptions {
        &self.options
    }

    /// By which sort of socket the target is pinged, if it is pinged.
    pub(super) fn access(&self) -> Option<Access> {
        let is_icmp = self.options.protocol == Protocol::Icmp;
        is_icmp.then(|| self.pinger.access(self.to.is_ipv6()).ok()).flatten()
    }

    /// Whether only one probe of a flow can be under way.
    pub(super) const fn is_serial(&self) -> bool {
        matches!(self.options.protocol, Protocol::Tcp { .. })
    }

    /// What this machine did to the measurements until now.
    pub(super) fn trust(&self) -> Trust {
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a probe, and waits for what comes of it.
    pub(super) async fn shoot(&self, shot: Shot) -> Seen {
        let carrier = match self.options.protocol {
            Protocol::Icmp => Carrier::Echo,
            Protocol::Udp { port } => Carrier::Udp { flow: shot.flow, port },
            Protocol::Tcp { port } => {
                let (seen, stall) = self.ports.shoot(self.to, port, shot, &self.options).await;
                let stalled = Trust {
                    stall,
                    ..Trust::default()
                };
                self.note(stalled);
                return seen;
            }
        };
        let options = PingOptions {
            count: 1,
            interval: Duration::ZERO,
            timeout: shot.timeout,
            size: shot.size.saturating_sub(HEADERS[usize::from(self.to.is_ipv6())]),
            ttl: Some(shot.ttl),
            // It must neither be split on the way nor for what this machine has heard of the path: the longest would seem to pass.
            dont_fragment: true,
            class: self.options.class,
            delay: Duration::ZERO,
        };
        let report = self.pinger.probe(self.to, carrier, shot.number, options).await;
        self.note(report.trust);
        self.read(report)
    }

    fn read(&self, report: PingReport) -> Seen {
        let Some(sample) = report.samples.into_iter().next() else {
            let unsent = || Failure::new(crate::FailureKind::System, "the probe was not sent");
            return Seen::Unsent(report.failure.unwrap_or_else(unsent));
        };
        match sample.outcome {
            Outcome::Answered { rtt, .. } => Seen::Answer(Answer {
                by: self.to,
                rtt,
                reason: None,
                mpls: Vec::new(),
            }),
            Outcome::Unreachable { by, reason, rtt, mpls } => {
                let reason = unless_reached(self.to, by, reason);
                Seen::Answer(Answer { by, rtt, reason, mpls })
            }
            Outcome::Lost if report.unlabelled > 0 => Seen::Untold,
            Outcome::Lost => Seen::Nothing,
            Outcome::Unknown { doubt } => Seen::Unknown(doubt),
            Outcome::Unsent { failure } => Seen::Unsent(failure),
        }
    }

    fn note(&self, trust: Trust) {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner).add(trust);
    }
}

/// Nobody listens there, says the target itself: so that is where the probe came. A firewall on the way may say the same.
fn unless_reached(to: IpAddr, by: IpAddr, reason: Reason) -> Option<Reason> {
    Some(reason).filter(|reason| by != to || *reason != Reason::PortUnreachable)
}
