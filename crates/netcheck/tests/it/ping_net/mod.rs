//! Ping over a network of its own, measured against what the link of it really did. Where none can be built, these tests
//! say so and pass.
pub(crate) mod datagram;
mod link;
mod machine;
mod path;

use netcheck::ping::{PingOptions, PingReport, Pinger, PingerOptions, Pinging};
use std::{net::IpAddr, time::Duration};
use testkit::net::{Topology, TopologyOptions};

/// Some hundreds within a second, each with time enough on a busy machine.
const BRISK: PingOptions = PingOptions {
    count: 300,
    interval: Duration::from_millis(2),
    timeout: Duration::from_millis(1500),
    size: 56,
    ttl: None,
    dont_fragment: false,
    class: 0,
    delay: Duration::ZERO,
};

fn network() -> Option<Topology> {
    Topology::new_or_skip(&TopologyOptions::default()).unwrap()
}

/// An engine on host A: its sockets and its thread belong to the network of the thread that starts it.
fn pinger(network: &Topology) -> Pinger {
    network
        .a()
        .enter(|| Pinger::start(PingerOptions::default()))
        .unwrap()
        .unwrap()
}

/// All of these targets at once; in turns, so that no more than one packet is sent at a time.
fn ping_all(pinger: &Pinger, targets: &[IpAddr], options: PingOptions) -> Vec<PingReport> {
    let turn = options.interval / targets.len() as u32;
    let under_way: Vec<Pinging> = (0..)
        .zip(targets)
        .map(|(n, target)| {
            pinger.ping(
                *target,
                PingOptions {
                    delay: turn * n,
                    ..options
                },
            )
        })
        .collect();
    under_way.into_iter().map(Pinging::wait).collect()
}
