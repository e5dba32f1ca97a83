//! Where a way ends that does not lead to the target, and who says so.
use super::{ALL, TCP, UDP, network, options, routers, trace};
use netcheck::{
    FailureKind,
    icmp::Reason,
    trace::{Protocol, TraceOptions, TraceReport, Tracer, TracerOptions},
};
use std::{net::IpAddr, time::Duration};
use testkit::net::address;

fn brief(protocol: Protocol) -> TraceOptions {
    TraceOptions {
        timeout: Duration::from_secs(1),
        // r2 tells one sender such things five times at once, and then once a second.
        count: 1,
        ..options(protocol)
    }
}

fn refused(report: &TraceReport, by: IpAddr, reason: Reason) {
    let last = report.hops.last().unwrap();
    assert_eq!((last.hop, last.routers[0].address), (2, by), "{report:?}");
    assert_eq!(last.routers[0].said, Some(reason), "{report:?}");
    let failure = report.failure.as_ref().unwrap();
    assert_eq!((report.reached, failure.kind), (false, FailureKind::Unreachable));
    assert!(
        failure.detail.starts_with(&format!("{by}, at hop 2, says of ")),
        "{failure}"
    );
}

#[test]
fn who_refuses_is_named_with_the_hop() {
    for protocol in ALL {
        let Some(network) = network() else { return };
        let (v4, v6) = (address::R2.v4.into(), address::R2.v6.into());
        refused(
            &trace(&network, address::PROHIBITED.v4, brief(protocol)),
            v4,
            Reason::Prohibited,
        );
        refused(
            &trace(&network, address::PROHIBITED.v6, brief(protocol)),
            v6,
            Reason::Prohibited,
        );
        refused(
            &trace(&network, address::UNREACHABLE.v4, brief(protocol)),
            v4,
            Reason::HostUnreachable,
        );
        refused(
            &trace(&network, address::UNREACHABLE.v6, brief(protocol)),
            v6,
            Reason::NetworkUnreachable,
        );
    }
}

#[test]
fn silence_is_told_with_the_last_hop_that_was_heard() {
    let Some(network) = network() else { return };
    for protocol in [Protocol::Icmp, UDP] {
        let report = trace(&network, address::DISCARDED.v4, brief(protocol));
        assert_eq!((report.reached, report.hops.len()), (false, 2), "{report:?}");
        assert_eq!(routers(&report), [vec![IpAddr::from(address::R1.v4)], vec![]]);
        let failure = report.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::TimedOut);
        assert!(
            failure.detail.contains(&format!("to hop 1, {}", address::R1.v4)),
            "{failure}"
        );
    }
    network.blackhole(true).unwrap();
    let report = trace(&network, address::B.v6, brief(Protocol::Icmp));
    assert_eq!(report.last_heard(), Some((1, address::R1.v6.into())), "{report:?}");
    network.blackhole(false).unwrap();
    network.cut(true);
    for protocol in ALL {
        let few = TraceOptions {
            give_up_after: 3,
            ..brief(protocol)
        };
        let report = trace(&network, address::B.v4, few);
        assert_eq!(
            report.last_heard(),
            Some((1, address::R1.v4.into())),
            "{protocol:?} {report:?}"
        );
        assert_eq!(report.failure.unwrap().kind, FailureKind::TimedOut);
    }
}

#[test]
fn a_circle_is_called_one() {
    let Some(network) = network() else { return };
    // Each of the two routers sends it to the other.
    let to = "198.51.100.7".parse::<IpAddr>().unwrap();
    let route = |by: IpAddr| format!("route add {to} via {by}\n");
    network.r1().ip_batch(&route(address::R2.v4.into())).unwrap();
    network.r2().ip_batch(&route(address::R1_AT_LINK.v4.into())).unwrap();
    let report = trace(&network, to, brief(Protocol::Icmp));
    assert!(
        !report.reached && report.hops.iter().all(|hop| hop.answered == 1),
        "{report:?}"
    );
    let failure = report.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.detail.contains("is a circle"), "{failure}");
}

#[test]
fn without_a_way_out_it_is_for_this_machine() {
    let Some(network) = network() else { return };
    network.a().ip(["route", "del", "default"]).unwrap();
    for protocol in [Protocol::Icmp, UDP, TCP] {
        let report = trace(&network, address::B.v4, brief(protocol));
        assert_eq!(report.failure.unwrap().kind, FailureKind::NoRoute, "{protocol:?}");
    }
}

#[test]
fn a_router_that_finds_nobody_behind_it_is_named_where_it_is() {
    let Some(network) = network() else { return };
    for setting in ["mcast_solicit", "retrans_time_ms"] {
        let value = if setting == "mcast_solicit" { "1" } else { "50" };
        let name = format!("net.ipv4.neigh.to-b.{setting}");
        network.r2().sysctl(&name, value).unwrap();
    }
    let by = IpAddr::from(address::R2.v4);
    for protocol in [Protocol::Icmp, UDP] {
        let three = TraceOptions {
            count: 3,
            ..brief(protocol)
        };
        let report = trace(&network, address::ABSENT.v4, three);
        refused(&report, by, Reason::HostUnreachable);
        assert_eq!(report.hops.len(), 2, "{report:?}");
    }
}

#[test]
fn a_host_that_is_not_on_our_own_link_is_for_this_machine() {
    let Some(network) = network() else { return };
    network.a().sysctl("net.ipv4.neigh.eth0.mcast_solicit", "1").unwrap();
    network.a().sysctl("net.ipv4.neigh.eth0.retrans_time_ms", "50").unwrap();
    let nobody: IpAddr = "10.201.1.77".parse().unwrap();
    let report = trace(&network, nobody, brief(Protocol::Icmp));
    let failure = report.failure.unwrap();
    assert!(failure.detail.contains("this machine's own link"), "{failure}");
}

#[tokio::test]
async fn a_trace_to_what_is_no_single_host_does_not_begin() {
    let tracer = Tracer::start(TracerOptions::default()).unwrap();
    for protocol in ALL {
        for address in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"] {
            let report = tracer.trace(address.parse().unwrap(), brief(protocol)).await;
            assert_eq!(
                (report.reached, report.hops.len()),
                (false, 0),
                "{protocol:?} {report:?}"
            );
            let failure = report.failure.unwrap();
            assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
            assert!(failure.detail.starts_with(&format!("{address} is ")), "{failure}");
        }
    }
}
