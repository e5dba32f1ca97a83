//! Routers that share their load.
use super::{PATIENT, TCP, UDP, routers, with_tracer};
use netcheck::trace::{TraceOptions, TraceReport};
use std::collections::BTreeSet;
use std::net::IpAddr;
use testkit::net::{LinkSettings, Topology, TopologyOptions, address};

fn network() -> Option<Topology> {
    let options = TopologyOptions {
        ecmp: true,
        ..TopologyOptions::default()
    };
    Topology::new_or_skip(&options).unwrap()
}

fn by(report: &TraceReport, hop: usize) -> BTreeSet<IpAddr> {
    report.hops[hop].routers.iter().map(|router| router.address).collect()
}

#[test]
fn sixteen_flows_find_both_ways_and_one_flow_keeps_to_its_own() {
    let Some(network) = network() else { return };
    for protocol in [UDP, TCP] {
        for (at, target) in address::ECMP_TARGET.both().into_iter().enumerate() {
            let both = [address::R2, address::R3].map(|router| router.both()[at]);
            let options = TraceOptions {
                protocol,
                flows: 16,
                timeout: PATIENT,
                ..TraceOptions::default()
            };
            let report = with_tracer(network.a(), |tracer| async move { tracer.trace(target, options).await });
            assert!(report.reached, "{protocol:?} {report:?}");
            assert_eq!(by(&report, 1), BTreeSet::from(both), "{protocol:?} {:?}", report.paths);
            // Three probes of each flow to each hop, and each flow went one way: so there are two ways, and not more.
            assert_eq!(report.paths.len(), 2, "{protocol:?} {:?}", report.paths);
            assert_eq!(report.paths.iter().map(|path| path.flows.len()).sum::<usize>(), 16);
            let of_flows: u32 = report.hops[1].routers.iter().map(|router| router.answered).sum();
            assert_eq!(of_flows, 48, "{:?}", report.hops);
            let single = TraceOptions {
                flows: 1,
                count: 20,
                ..options
            };
            let report = with_tracer(network.a(), |tracer| async move { tracer.trace(target, single).await });
            assert_eq!(routers(&report)[1].len(), 1, "{protocol:?} {:?}", report.hops);
        }
    }
}

#[test]
fn loss_of_one_way_is_not_that_of_the_other() {
    let Some(network) = network() else { return };
    // The way over r2 has the link in it, that over r3 has not.
    let lossy = LinkSettings {
        loss: 0.5,
        ..LinkSettings::default()
    };
    network.link_each(lossy, LinkSettings::default());
    let options = TraceOptions {
        protocol: UDP,
        flows: 16,
        count: 20,
        timeout: std::time::Duration::from_secs(1),
        ..TraceOptions::default()
    };
    let target = address::ECMP_TARGET.v4.into();
    let report = with_tracer(network.a(), |tracer| async move { tracer.trace(target, options).await });
    let loss = |router: IpAddr| {
        let path = report.paths.iter().find(|path| path.routers[1] == Some(router));
        path.and_then(|path| path.loss)
    };
    assert_eq!(loss(address::R3.v4.into()), Some(0.0), "{:?}", report.paths);
    let lost = loss(address::R2.v4.into()).unwrap();
    assert!((0.3..0.7).contains(&lost), "{lost}");
}

#[test]
fn routers_that_answer_only_so_often_are_asked_again() {
    let Some(network) = network() else { return };
    // As Linux comes: six answers at once to one peer, and then one a second.
    for node in [network.r1(), network.r2(), network.r3().unwrap(), network.b()] {
        node.sysctl("net.ipv4.icmp_ratelimit", "1000").unwrap();
        node.sysctl("net.ipv4.icmp_ratemask", "6168").unwrap();
    }
    let options = TraceOptions {
        protocol: UDP,
        flows: 10,
        count: 1,
        timeout: std::time::Duration::from_millis(500),
        ..TraceOptions::default()
    };
    let target = address::ECMP_TARGET.v4.into();
    let report = with_tracer(network.a(), |tracer| async move { tracer.trace(target, options).await });
    assert_eq!(report.hops.len(), 3, "{:?}", report.hops);
    assert_eq!(report.paths.len(), 2, "{:?}", report.paths);
    for path in &report.paths {
        assert!(path.reached && path.routers.iter().all(Option::is_some), "{path:?}");
    }
}
