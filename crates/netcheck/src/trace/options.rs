//! What is asked of a trace.
use crate::{Failure, FailureKind, ping::wrong_times};
use std::time::Duration;

/// The most flows of one trace.
pub const FLOWS_MOST: u16 = 64;
/// The most probes that one hop is sent by a flow.
pub const COUNT_MOST: u32 = 1000;
/// The shortest packet that has room for what tells its answer from others, by either version of IP, in bytes.
const SIZE_LEAST: u16 = 70;

/// As what probes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case", tag = "protocol")
)]
pub enum Protocol {
    /// As echo requests. They want the right to send pings.
    Icmp,
    /// As datagrams to this port, from one that stays the same. They want no right.
    Udp {
        /// The port: one at which nobody listens, since a service seldom answers what it does not understand. 33434 is the custom.
        port: u16,
    },
    /// As attempts to connect to this port, from one that stays the same. They want no right; the hops are probed one after the other,
    /// since this machine allows one such attempt at a time. Over IPv6 Linux gives each another flow label: routers that share their load
    /// by it see several flows.
    Tcp {
        /// The port, such as 443: open or closed, the target answers.
        port: u16,
    },
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Udp { .. } => "udp",
            Self::Tcp { .. } => "tcp",
        }
    }
}

/// How a path is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    /// As what probes travel; as echo requests.
    pub protocol: Protocol,
    /// The first hop that is probed; 1.
    pub first_hop: u8,
    /// The last one; 30.
    pub max_hops: u8,
    /// The hops that are probed all at once, whatever answers: those of a way that is known; 0, of which nothing is.
    pub min_hops: u8,
    /// How many probes each hop is sent by each flow; 3, from 1 to [`COUNT_MOST`]. By TCP, a hop that is silent at first is sent one.
    pub count: u32,
    /// From one probe of a hop to the next, once the length of the path is known; 30 milliseconds.
    pub interval: Duration,
    /// How long an answer may take; 1 second, from a millisecond. By TCP 950 milliseconds at the most: after that the system sends the same
    /// again, and nobody knows which was answered.
    pub timeout: Duration,
    /// How many hops are waited for at a time until the target has answered; 8. It begins with three.
    pub parallel: u8,
    /// After so many hops in a row that are silent, nothing is expected behind them; 8.
    pub give_up_after: u8,
    /// The length of a packet with its IP header, in bytes; 80, from 70. It may not be split: what a link does not carry ends there. A TCP
    /// packet is as long as it is.
    pub size: u16,
    /// The traffic class (DSCP and ECN), of eight bits; 0.
    pub class: u8,
    /// How many flows are sent, each from a port of its own; 1, to [`FLOWS_MOST`]. Routers that share their load send each flow one
    /// way: two ways of equal share are both found by 16 flows but for once in 32,768 times. Not by ICMP, which has no ports.
    pub flows: u16,
    /// Whether the longest packet that comes through is searched, and who limits it; not so. Not by TCP, whose first packet is
    /// short.
    pub path_mtu: bool,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Icmp,
            first_hop: 1,
            max_hops: 30,
            min_hops: 0,
            count: 3,
            interval: Duration::from_millis(30),
            timeout: Duration::from_secs(1),
            parallel: 8,
            give_up_after: 8,
            size: 80,
            class: 0,
            flows: 1,
            path_mtu: false,
        }
    }
}

impl TraceOptions {
    /// # Errors
    /// When one of the values is out of its bounds, or does not go with another; the failure names it.
    pub fn check(&self) -> Result<(), Failure> {
        let is_icmp = self.protocol == Protocol::Icmp;
        let wrong = if self.first_hop == 0 || self.first_hop > self.max_hops {
            let (first, last) = (self.first_hop, self.max_hops);
            format!("the hops are {first} to {last}, and must be 1 to 255, the first no later than the last")
        } else if !(1..=COUNT_MOST).contains(&self.count) {
            format!("count is {}, and must be 1 to {COUNT_MOST}", self.count)
        } else if let Some(wrong) = wrong_times(self.timeout, self.interval) {
            wrong
        } else if self.parallel == 0 || self.give_up_after == 0 {
            "parallel and give_up_after must be 1 at least".to_owned()
        } else if self.size < SIZE_LEAST {
            format!("size is {} bytes, and must be {SIZE_LEAST} at least", self.size)
        } else if !(1..=FLOWS_MOST).contains(&self.flows) {
            format!("flows is {}, and must be 1 to {FLOWS_MOST}", self.flows)
        } else if is_icmp && self.flows > 1 {
            "ICMP has no ports by which several flows could be told apart: trace by UDP or TCP".to_owned()
        } else if self.path_mtu && matches!(self.protocol, Protocol::Tcp { .. }) {
            "the first packet of TCP is short: search the path MTU by ICMP or UDP".to_owned()
        } else if matches!(self.protocol, Protocol::Udp { port: 0 } | Protocol::Tcp { port: 0 }) {
            "port is 0, and must be 1 to 65535".to_owned()
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Invalid, wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let of = |change: fn(&mut TraceOptions)| {
            let mut options = TraceOptions::default();
            change(&mut options);
            options.check().map_err(|failure| failure.detail)
        };
        assert_eq!(of(|_| {}), Ok(()));
        let refused = |change, word: &str| {
            let detail = of(change).unwrap_err();
            assert!(detail.contains(word), "{detail}");
        };
        refused(|options| options.first_hop = 31, "hops are 31 to 30");
        refused(|options| options.count = 0, "count");
        refused(|options| options.flows = 2, "by UDP or TCP");
        refused(|options| options.size = 69, "size is 69");
        refused(|options| options.parallel = 0, "parallel");
        refused(|options| options.timeout = Duration::ZERO, "timeout");
        refused(|options| options.protocol = Protocol::Tcp { port: 0 }, "port is 0");
        let tcp = |options: &mut TraceOptions| {
            options.protocol = Protocol::Tcp { port: 443 };
            options.path_mtu = true;
        };
        refused(tcp, "by ICMP or UDP");
        assert_eq!(
            of(|options| {
                options.protocol = Protocol::Udp { port: 33434 };
                options.flows = FLOWS_MOST;
                options.path_mtu = true;
            }),
            Ok(())
        );
    }
}
