//! What routers say: refusals, hops, path MTU.
use super::{BRISK, network, ping_all, pinger};
use netcheck::{
    FailureKind,
    icmp::Reason,
    ping::{Outcome, PingOptions, PingReport},
};
use std::{net::IpAddr, time::Duration};
use testkit::net::{LinkSettings, address};

pub(super) const FEW: PingOptions = PingOptions {
    count: 4,
    interval: Duration::from_millis(5),
    ..BRISK
};

/// Asserts that each probe was refused by this router, for this reason.
pub(super) fn refused(report: &PingReport, by: IpAddr, reason: Reason, kind: FailureKind) {
    for sample in &report.samples {
        let Outcome::Unreachable {
            by: who,
            reason: why,
            rtt,
            ..
        } = sample.outcome
        else {
            panic!("{sample:?}");
        };
        assert_eq!((who, why), (by, reason), "{}", report.address);
        assert!(rtt > Duration::ZERO, "{sample:?}");
    }
    assert_eq!((report.lost, report.answered), (report.sent, 0));
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(failure.kind, kind, "{failure}");
    assert!(failure.detail.contains(&by.to_string()), "{failure}");
}

#[test]
fn who_refuses_an_address_is_named_with_the_reason() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    for (to, v4, v6) in [
        (
            address::UNREACHABLE,
            Reason::HostUnreachable,
            Reason::NetworkUnreachable,
        ),
        (address::PROHIBITED, Reason::Prohibited, Reason::Prohibited),
        (
            address::NO_ROUTE,
            Reason::NetworkUnreachable,
            Reason::NetworkUnreachable,
        ),
    ] {
        // A router says no more than five such things at once to a host, and then one a second.
        let reports = ping_all(&pinger, &to.both(), PingOptions { count: 1, ..FEW });
        for ((report, reason), by) in reports.iter().zip([v4, v6]).zip(address::R2.both()) {
            refused(report, by, reason, FailureKind::Unreachable);
        }
    }
}

#[test]
fn a_packet_without_time_to_live_is_dropped_by_the_router_that_says_so() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    for (ttl, routers) in [(1, address::R1), (2, address::R2)] {
        let options = PingOptions { ttl: Some(ttl), ..FEW };
        let reports = ping_all(&pinger, &address::B.both(), options);
        for (report, by) in reports.iter().zip(routers.both()) {
            refused(report, by, Reason::TimeExceeded, FailureKind::Unreachable);
        }
    }
    let options = PingOptions { ttl: Some(3), ..FEW };
    for report in ping_all(&pinger, &address::B.both(), options) {
        for sample in &report.samples {
            assert!(
                matches!(sample.outcome, Outcome::Answered { ttl: Some(62), .. }),
                "{sample:?}"
            );
        }
    }
}

#[test]
fn a_packet_that_may_be_split_comes_through_a_narrow_link() {
    let Some(network) = network() else { return };
    network.set_mtu(1300).unwrap();
    let options = PingOptions { size: 1400, ..FEW };
    let report = pinger(&network).ping(address::B.v4.into(), options).wait();
    assert_eq!((report.answered, &report.failure), (4, &None), "{report:?}");
    // Routers do not split IPv6: each host loses a packet, and splits them from then on.
    let pinger = pinger(&network);
    let of = |count| {
        let options = PingOptions { count, ..options };
        pinger.ping(address::B.v6.into(), options).wait()
    };
    let first = of(1);
    refused(
        &first,
        address::R1.v6.into(),
        Reason::TooBig { mtu: 1300 },
        FailureKind::TooLarge,
    );
    let second = of(4);
    assert_eq!(
        (second.samples[0].is_lost(), second.answered),
        (Some(true), 3),
        "{second:?}"
    );
    let third = of(4);
    assert_eq!((third.answered, &third.failure), (4, &None), "{third:?}");
}

#[test]
fn a_packet_that_may_not_be_split_is_refused_by_the_router_before_a_narrow_link() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    network.set_mtu(1300).unwrap();
    let options = PingOptions {
        size: 1400,
        dont_fragment: true,
        ..FEW
    };
    let reports = ping_all(&pinger, &address::B.both(), options);
    for (report, by) in reports.iter().zip(address::R1.both()) {
        refused(report, by, Reason::TooBig { mtu: 1300 }, FailureKind::TooLarge);
    }
    // 1,300 bytes with the headers of IP and ICMP.
    for (target, headers) in address::B.both().into_iter().zip([28, 48]) {
        let fits = PingOptions {
            size: 1300 - headers,
            ..options
        };
        assert_eq!(pinger.ping(target, fits).wait().answered, 4);
        let does_not = PingOptions {
            size: fits.size + 1,
            ..fits
        };
        assert_eq!(
            pinger.ping(target, does_not).wait().failure.unwrap().kind,
            FailureKind::TooLarge
        );
    }
}

#[test]
fn a_black_hole_for_large_packets_is_silent_about_them_and_answers_small_ones() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    network.link(LinkSettings {
        black_hole_above: Some(1000),
        ..LinkSettings::default()
    });
    let timeout = Duration::from_millis(300);
    for dont_fragment in [true, false] {
        let options = PingOptions {
            dont_fragment,
            timeout,
            ..FEW
        };
        for report in ping_all(&pinger, &address::B.both(), PingOptions { size: 1200, ..options }) {
            assert_eq!((report.sent, report.lost), (4, 4), "{report:?}");
            assert_eq!(report.failure.unwrap().kind, FailureKind::TimedOut);
        }
        for report in ping_all(&pinger, &address::B.both(), PingOptions { size: 900, ..options }) {
            assert_eq!((report.answered, report.failure), (4, None));
        }
    }
    assert_eq!(network.counts().toward_b.too_big, 16);
}

#[test]
fn the_neighbour_of_a_host_that_is_not_there_says_so() {
    let Some(network) = network() else { return };
    let options = PingOptions {
        count: 1,
        timeout: Duration::from_secs(20),
        ..FEW
    };
    // It asks for some three seconds before it gives up.
    let reports = ping_all(&pinger(&network), &address::ABSENT.both(), options);
    for (report, by) in reports.iter().zip(address::R2.both()) {
        refused(report, by, Reason::HostUnreachable, FailureKind::Unreachable);
    }
}

#[test]
fn the_traffic_class_arrives_with_the_packet() {
    let Some(network) = network() else { return };
    let far = || {
        socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::RAW,
            Some(socket2::Protocol::ICMPV4),
        )
    };
    let far = network.b().enter(far).unwrap().unwrap();
    far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let options = PingOptions { class: 0xb8, ..FEW };
    assert_eq!(pinger(&network).ping(address::B.v4.into(), options).wait().answered, 4);
    let mut packet = [0; 256];
    let length = std::io::Read::read(&mut &far, &mut packet).unwrap();
    // An echo request behind the header of IP, whose second byte is the class.
    assert_eq!((packet[1], packet[20]), (0xb8, 8), "{:?}", &packet[..length]);
}
