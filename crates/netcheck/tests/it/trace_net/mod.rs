//! Traces over a network of its own, whose hops and faults are known. Where none can be built, these tests say so and pass.
mod ends;
mod machine;
mod mtu;
mod path;
mod several;

use netcheck::trace::{Protocol, TraceOptions, TraceReport, Tracer, TracerOptions};
use std::{future::Future, net::IpAddr, time::Duration};
use testkit::net::{Namespace, Topology, TopologyOptions};

const UDP: Protocol = Protocol::Udp { port: 33434 };
/// Nobody listens there.
const TCP: Protocol = Protocol::Tcp { port: 1 };
const ALL: [Protocol; 3] = [Protocol::Icmp, UDP, TCP];

/// Time enough on a busy machine.
const PATIENT: Duration = Duration::from_secs(5);

fn network() -> Option<Topology> {
    Topology::new_or_skip(&TopologyOptions::default()).unwrap()
}

fn options(protocol: Protocol) -> TraceOptions {
    TraceOptions {
        protocol,
        timeout: PATIENT,
        ..TraceOptions::default()
    }
}

/// Works with a tracer of host A.
fn with_tracer<F: Future>(host: &Namespace, work: impl FnOnce(Tracer) -> F + Send) -> F::Output
where
    F::Output: Send,
{
    let run = || work(Tracer::start(TracerOptions::default()).unwrap());
    host.block_on(run).unwrap()
}

fn trace(network: &Topology, to: impl Into<IpAddr>, options: TraceOptions) -> TraceReport {
    let to = to.into();
    with_tracer(
        network.a(),
        move |tracer| async move { tracer.trace(to, options).await },
    )
}

/// Who answered at each hop, of all who did.
fn routers(report: &TraceReport) -> Vec<Vec<IpAddr>> {
    let hops = report.hops.iter();
    hops.map(|hop| hop.routers.iter().map(|router| router.address).collect())
        .collect()
}
