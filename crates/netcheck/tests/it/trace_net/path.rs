//! The way itself: who is at each hop, how far, how surely.
use super::{ALL, PATIENT, TCP, UDP, network, options, routers, trace, with_tracer};
use netcheck::trace::{PathLog, Protocol, TraceOptions};
use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};
use testkit::net::{DualAddress, LinkSettings, Topology, TopologyOptions, address};

#[test]
fn every_hop_is_named_by_each_protocol_and_version() {
    let Some(network) = network() else { return };
    for protocol in ALL {
        for (at, target) in address::B.both().into_iter().enumerate() {
            let report = trace(&network, target, options(protocol));
            assert_eq!(
                (report.reached, &report.failure),
                (true, &None),
                "{protocol:?} {report:?}"
            );
            let way = [address::R1, address::R2, address::B].map(|router| vec![router.both()[at]]);
            assert_eq!(routers(&report), way, "{protocol:?}");
            assert_eq!(report.paths.len(), 1);
            for hop in &report.hops {
                assert_eq!(
                    (hop.sent, hop.answered, hop.silence),
                    (3, 3, Some(0.0)),
                    "{protocol:?} {report:?}"
                );
                assert!(hop.routers[0].times.is_some_and(|times| times.min > Duration::ZERO));
            }
        }
    }
}

#[test]
fn an_open_port_is_a_target_that_was_reached() {
    let Some(network) = network() else { return };
    let listener = network.b().enter(|| std::net::TcpListener::bind((address::B.v4, 0)));
    let listener = listener.unwrap().unwrap();
    let port = listener.local_addr().unwrap().port();
    let report = trace(&network, address::B.v4, options(Protocol::Tcp { port }));
    assert!(report.reached, "{report:?}");
    assert_eq!(
        report.hops[2].answered, 3,
        "each attempt has the same port, and none waits for the one before"
    );
}

#[test]
fn times_are_those_of_the_network() {
    let Some(network) = network() else { return };
    let delay = Duration::from_millis(20);
    network.link(LinkSettings {
        delay,
        ..LinkSettings::default()
    });
    for protocol in ALL {
        let many = TraceOptions {
            count: 9,
            ..options(protocol)
        };
        let report = trace(&network, address::B.v4, many);
        let medians: Vec<Duration> = report
            .hops
            .iter()
            .map(|hop| hop.routers[0].times.unwrap().median)
            .collect();
        assert!(medians[0] < delay, "{protocol:?} {medians:?}");
        for median in &medians[1..] {
            assert!((2 * delay..5 * delay).contains(median), "{protocol:?} {medians:?}");
        }
    }
}

#[test]
fn loss_is_counted_where_it_begins() {
    let Some(network) = network() else { return };
    let lossy = LinkSettings {
        loss: 0.3,
        ..LinkSettings::default()
    };
    network.link_each(lossy, LinkSettings::default());
    let many = TraceOptions {
        count: 200,
        interval: Duration::from_millis(2),
        timeout: Duration::from_millis(1500),
        ..options(Protocol::Icmp)
    };
    let report = trace(&network, address::B.v4, many);
    let counts = network.counts();
    assert_eq!(report.hops[0].loss, Some(0.0));
    let beyond = &report.hops[1..];
    let sent: u32 = beyond.iter().map(|hop| hop.sent).sum();
    let lost: u32 = beyond.iter().map(|hop| hop.lost).sum();
    // What flew beyond the target until its distance was known is in the account of the link as well.
    let more = counts.toward_b.received - u64::from(sent);
    assert!(more <= 8, "{more}");
    assert!(
        counts.toward_b.lost.abs_diff(u64::from(lost)) <= more,
        "{lost} {counts:?}"
    );
    assert!(
        report.hops.iter().all(|hop| hop.sent == 200 && hop.unknown == 0),
        "{report:?}"
    );
}

#[test]
fn a_silent_router_is_passed_over() {
    let Some(network) = network() else { return };
    // It answers nobody any more: what it would say goes nowhere.
    let lines = format!(
        "route add blackhole {} table 77\nrule add iif lo lookup 77\n",
        address::A.v4
    );
    network.r1().ip_batch(&lines).unwrap();
    for protocol in [Protocol::Icmp, UDP, TCP] {
        let patient = TraceOptions {
            timeout: Duration::from_secs(1),
            ..options(protocol)
        };
        let report = trace(&network, address::B.v4, patient);
        assert!(report.reached, "{protocol:?} {report:?}");
        assert_eq!(
            routers(&report),
            [vec![], vec![IpAddr::from(address::R2.v4)], vec![address::B.v4.into()]]
        );
        let near = &report.hops[0];
        let sent = if protocol == TCP { 1 } else { 3 };
        assert_eq!((near.sent, near.silence, near.loss), (sent, Some(1.0), Some(0.0)));
        assert_eq!(report.paths[0].routers[0], None);
    }
}

#[test]
fn a_way_that_changes_is_noticed_and_kept() {
    let ecmp = TopologyOptions {
        ecmp: true,
        ..TopologyOptions::default()
    };
    let Some(network) = Topology::new_or_skip(&ecmp).unwrap() else {
        return;
    };
    let mut log = PathLog::new(10);
    let target = address::ECMP_TARGET.v4;
    let route = |by: &str| {
        network
            .r1()
            .ip(["route", "replace", &target.to_string(), "via", by])
            .unwrap()
    };
    let (by_r2, by_r3) = (address::R2.v4.to_string(), address::R3.v4.to_string());
    let seen = with_tracer(network.a(), |tracer| async move {
        let mut seen = Vec::new();
        for by in [&by_r2, &by_r2, &by_r3, &by_r3, &by_r2] {
            route(by);
            let report = tracer.trace(target.into(), options(UDP)).await;
            seen.push(
                log.observe(SystemTime::now(), &report)
                    .map(|change| (change.at, change.after[1])),
            );
        }
        assert_eq!(log.changes().count(), 2);
        seen
    });
    let by = |router: DualAddress| Some((1, Some(router.v4.into())));
    assert_eq!(seen, [None, None, by(address::R3), None, by(address::R2)]);
}

#[test]
fn many_traces_share_one_socket() {
    let Some(network) = network() else { return };
    let targets: Vec<_> = address::B.both().into_iter().cycle().take(60).collect();
    let reports = with_tracer(network.a(), |tracer| async move {
        let mut under_way = tokio::task::JoinSet::new();
        for target in targets {
            let tracer = tracer.clone();
            under_way.spawn(async move { tracer.trace(target, options(Protocol::Icmp)).await });
        }
        under_way.join_all().await
    });
    for report in reports {
        assert!(report.reached && report.hops.len() == 3, "{report:?}");
        assert!(report.hops.iter().all(|hop| hop.loss == Some(0.0)), "{report:?}");
        assert!(report.total < 2 * PATIENT);
    }
}
