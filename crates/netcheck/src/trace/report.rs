//! What a trace found.
use super::{mtu::PathMtu, options::Protocol};
use crate::{
    Failure, Trust,
    icmp::{Access, MplsLabel, Reason},
    measure::Times,
};
use std::{net::IpAddr, time::Duration};

/// What a trace found.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TraceReport {
    /// The target.
    pub address: IpAddr,
    /// As what the probes travelled.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub protocol: Protocol,
    /// By which sort of socket echo requests were sent; `None` for other probes.
    pub access: Option<Access>,
    /// Whether the target itself answered.
    pub reached: bool,
    /// Each hop, the nearest first. Where nobody answers at the end, the last one is the first that is silent.
    pub hops: Vec<Hop>,
    /// Each way that flows took, the one of the first flow first. Flows that may have gone the same way, as far as answers tell, are
    /// one.
    pub paths: Vec<Path>,
    /// Why this machine did not send one flow or more, where it sent others.
    pub unsent: Option<Failure>,
    /// The longest packet that comes through, where that was searched.
    pub path_mtu: Option<PathMtu>,
    /// How long all of it took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "total_ms", serialize_with = "crate::millis::serialize")
    )]
    pub total: Duration,
    /// What this machine itself did to the measurement.
    pub trust: Trust,
    /// Why the target was not reached: where the way ends, and who said so. A target that refuses by itself was reached: what it says
    /// stands with it.
    pub failure: Option<Failure>,
}

/// A distance from here, and who answers there.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Hop {
    /// The distance: 1 is the router next to this machine.
    pub hop: u8,
    /// Probes that were to end there.
    pub sent: u32,
    /// Of these, answered in time.
    pub answered: u32,
    /// Of these, not answered: lost on the way there or back, or nobody there says anything.
    pub lost: u32,
    /// Of these, of unknown fate, since this machine may have dropped the answer.
    pub unknown: u32,
    /// The share that was not answered, 0 to 1, among those whose fate is known; `None` where that is none. Routers answer as they have
    /// time, and many not at all: silence that does not go on behind them is no loss.
    pub silence: Option<f64>,
    /// The share that the network loses on the way to there and back at the most, 0 to 1: the least silence of this hop and of all behind
    /// it.
    pub loss: Option<f64>,
    /// Whether it may also be that nothing is lost: a target answers probes by UDP with ICMP errors, of which hosts send only so many (Linux
    /// six at once, and then one a second), and some probes were not answered. So it is with a router that refuses, whatever is
    /// sent. What a target answers by ICMP and TCP is not limited so.
    pub loss_is_upper_bound: bool,
    /// Who answered, in the order in which they were heard.
    pub routers: Vec<Router>,
}

/// Somebody who answered.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Router {
    /// Its address.
    pub address: IpAddr,
    /// Its name, where that was asked for and is known.
    pub name: Option<String>,
    /// How often it answered.
    pub answered: u32,
    /// How long that took.
    pub times: Option<Times>,
    /// How much the delay differs from packet to packet (RFC 3550).
    #[cfg_attr(
        feature = "serde",
        serde(rename = "jitter_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub jitter: Option<Duration>,
    /// What it said, other than that the time to live was over: nothing behind it is reached then.
    pub said: Option<Reason>,
    /// The MPLS labels with which the probe came (RFC 4950).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub mpls: Vec<MplsLabel>,
}

/// A way to the target.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Path {
    /// Which flows took it, by number from 0.
    pub flows: Vec<u16>,
    /// Who answered at each hop from the first that was probed; `None` where nobody did.
    pub routers: Vec<Option<IpAddr>>,
    /// Whether it led to the target.
    pub reached: bool,
    /// The share of probes to its last hop that were not answered, 0 to 1; `None` where nobody knows.
    pub loss: Option<f64>,
    /// Whether it may also be that nothing is lost, as of a [hop](Hop::loss_is_upper_bound): then a way that did not lead to the
    /// target while others did may do so, too.
    pub loss_is_upper_bound: bool,
}

impl Hop {
    /// Notes what the loss is worth on a way that led to its target, or did not.
    pub(super) fn weigh(&mut self, protocol: Protocol, has_reached: bool) {
        let is_limited = if has_reached {
            matches!(protocol, Protocol::Udp { .. })
        } else {
            self.routers.iter().any(|router| router.said.is_some())
        };
        self.loss_is_upper_bound = is_limited && self.loss.is_some_and(|loss| loss > 0.0);
    }

    /// Whether this router answers there.
    #[must_use]
    pub fn has(&self, router: IpAddr) -> bool {
        self.routers.iter().any(|found| found.address == router)
    }
}

impl Path {
    /// Notes what the loss is worth where the target was reached by this way or another.
    pub(super) fn weigh(&mut self, protocol: Protocol) {
        let is_limited = matches!(protocol, Protocol::Udp { .. });
        self.loss_is_upper_bound = is_limited && self.loss.is_some_and(|loss| loss > 0.0);
    }
}

impl TraceReport {
    /// Of a trace that could not begin.
    pub(super) fn not_begun(address: IpAddr, protocol: Protocol, failure: Failure) -> Self {
        Self {
            address,
            protocol,
            access: None,
            reached: false,
            hops: Vec::new(),
            paths: Vec::new(),
            unsent: None,
            path_mtu: None,
            total: Duration::ZERO,
            trust: Trust::default(),
            failure: Some(failure),
        }
    }

    /// The furthest hop where somebody answered, and who.
    #[must_use]
    pub fn last_heard(&self) -> Option<(u8, IpAddr)> {
        let heard = self.hops.iter().rev();
        heard
            .filter_map(|hop| Some((hop.hop, hop.routers.first()?.address)))
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_an_upper_bound_where_errors_are_what_answers() {
        let refusing = Router {
            address: "192.0.2.1".parse().unwrap(),
            name: None,
            answered: 1,
            times: None,
            jitter: None,
            said: Some(Reason::HostUnreachable),
            mpls: Vec::new(),
        };
        let weighed = |loss, routers, protocol, has_reached| {
            let mut hop = Hop {
                loss: Some(loss),
                routers,
                ..Hop::default()
            };
            hop.weigh(protocol, has_reached);
            hop.loss_is_upper_bound
        };
        let udp = Protocol::Udp { port: 33434 };
        assert!(weighed(0.5, Vec::new(), udp, true));
        assert!(!weighed(0.0, Vec::new(), udp, true));
        assert!(!weighed(0.5, Vec::new(), Protocol::Icmp, true));
        assert!(weighed(0.5, vec![refusing], Protocol::Icmp, false));
        assert!(!weighed(1.0, Vec::new(), udp, false), "nobody answers there");
    }
}
