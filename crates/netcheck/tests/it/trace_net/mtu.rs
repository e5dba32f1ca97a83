//! The longest packet, and who limits it.
use super::{UDP, network, options, trace};
use netcheck::trace::{MtuLimit, PathMtu, Place, Protocol, TraceOptions};
use std::{net::IpAddr, time::Duration};
use testkit::net::{LinkSettings, Topology, address};

fn path_mtu(network: &Topology, to: IpAddr, protocol: Protocol) -> PathMtu {
    let search = TraceOptions {
        path_mtu: true,
        timeout: Duration::from_secs(1),
        ..options(protocol)
    };
    let report = trace(network, to, search);
    report.path_mtu.unwrap_or_else(|| panic!("{report:?}"))
}

#[test]
fn nobody_limits_it_but_the_interface() {
    let Some(network) = network() else { return };
    for protocol in [Protocol::Icmp, UDP] {
        for target in address::B.both() {
            let expected = PathMtu {
                bytes: 1500,
                limit: MtuLimit::Interface,
            };
            assert_eq!(path_mtu(&network, target, protocol), expected, "{protocol:?}");
        }
    }
}

#[test]
fn the_router_before_a_narrow_link_says_so() {
    let Some(network) = network() else { return };
    network.set_mtu(1371).unwrap();
    for protocol in [Protocol::Icmp, UDP] {
        for (target, address) in address::B.both().into_iter().zip(address::R1.both()) {
            let hop = Some(1);
            let expected = PathMtu {
                bytes: 1371,
                limit: MtuLimit::Router { address, hop },
            };
            assert_eq!(path_mtu(&network, target, protocol), expected, "{protocol:?}");
        }
    }
}

#[test]
fn a_black_hole_is_named_with_the_hops_around_it() {
    let Some(network) = network() else { return };
    let hole = LinkSettings {
        black_hole_above: Some(1337),
        ..LinkSettings::default()
    };
    network.link_each(hole, LinkSettings::default());
    for (at, target) in address::B.both().into_iter().enumerate() {
        let place = |hop, router: testkit::net::DualAddress| Place {
            hop,
            address: router.both()[at],
        };
        let expected = PathMtu {
            bytes: 1337,
            limit: MtuLimit::BlackHole {
                behind: Some(place(1, address::R1)),
                before: place(2, address::R2),
            },
        };
        assert_eq!(path_mtu(&network, target, Protocol::Icmp), expected);
    }
}

#[test]
fn udp_finds_a_black_hole_too() {
    let Some(network) = network() else { return };
    let hole = LinkSettings {
        black_hole_above: Some(1400),
        ..LinkSettings::default()
    };
    network.link_each(hole, LinkSettings::default());
    let found = path_mtu(&network, address::B.v4.into(), UDP);
    assert_eq!(found.bytes, 1400, "{found:?}");
    assert!(
        matches!(
            found.limit,
            MtuLimit::BlackHole {
                behind: Some(Place { hop: 1, .. }),
                ..
            }
        ),
        "{found:?}"
    );
}

#[test]
fn a_target_that_answers_by_chance_gives_no_black_hole() {
    let Some(network) = network() else { return };
    let lossy = LinkSettings {
        loss: 0.2,
        ..LinkSettings::default()
    };
    network.link(lossy);
    let search = TraceOptions {
        path_mtu: true,
        timeout: Duration::from_millis(500),
        count: 5,
        ..options(Protocol::Icmp)
    };
    let report = trace(&network, address::B.v4, search);
    let expected = PathMtu {
        bytes: 1500,
        limit: MtuLimit::Interface,
    };
    assert!(report.path_mtu.is_none_or(|found| found == expected), "{report:?}");
}

#[test]
fn a_target_that_answers_by_udp_only_so_often_gives_no_black_hole() {
    let Some(network) = network() else { return };
    for node in [network.r1(), network.r2(), network.b()] {
        node.sysctl("net.ipv4.icmp_ratelimit", "1000").unwrap();
        node.sysctl("net.ipv4.icmp_ratemask", "6168").unwrap();
    }
    for count in [3, 5, 8] {
        let search = TraceOptions {
            path_mtu: true,
            timeout: Duration::from_secs(1),
            count,
            ..options(UDP)
        };
        let report = trace(&network, address::B.v4, search);
        let expected = PathMtu {
            bytes: 1500,
            limit: MtuLimit::Interface,
        };
        assert_eq!(report.path_mtu, Some(expected), "{count}: {report:?}");
    }
}
