//! What routers say, in a network of its own: they know ways, forbid them and keep silent.
use netcheck::{
    Failure, FailureKind,
    dns::{self, DnsOptions},
    tcp::{self, TcpOptions},
    udp::{self, Expect, Probe, UdpOptions},
};
use std::{net::IpAddr, time::Duration};
use testkit::net::{Topology, TopologyOptions, address};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Long enough for a network that holds nothing back.
const SHORT: Duration = Duration::from_millis(200);

fn topology() -> Option<Topology> {
    Topology::new_or_skip(&TopologyOptions::default()).unwrap()
}

fn at_port(address: IpAddr) -> String {
    std::net::SocketAddr::new(address, 9).to_string()
}

async fn tcp_to(target: &str, timeout: Duration) -> Failure {
    let options = TcpOptions {
        timeout,
        ..TcpOptions::default()
    };
    tcp::check(target, &options).await.failure.unwrap()
}

async fn udp_to(target: &str, timeout: Duration) -> Failure {
    let options = UdpOptions {
        probe: Probe::bytes("hello").unwrap().expecting(Expect::Any),
        timeout,
        ..UdpOptions::default()
    };
    udp::check(target, &options).await.failure.unwrap()
}

#[test]
fn what_a_router_says_is_told_from_its_silence_and_from_no_route() {
    let Some(topology) = topology() else { return };
    let v4 = |code: u8| format!("ICMP type 3 code {code}, sent by {}", address::R2.v4);
    let v6 = |code: u8| format!("ICMPv6 type 1 code {code}, sent by {}", address::R2.v6);
    let unreachable = [
        (address::UNREACHABLE, [v4(1), v6(0)]),
        (address::PROHIBITED, [v4(13), v6(1)]),
        (address::NO_ROUTE, [v4(0), v6(0)]),
    ];
    let told = topology.a().block_on(move || async move {
        // A router says it five times, and then once a second. Only TCP asks again by itself, so it comes last.
        for (target, said) in &unreachable {
            for (target, said) in target.both().map(at_port).into_iter().zip(said) {
                let failure = udp_to(&target, TIMEOUT).await;
                assert_eq!(failure.kind, FailureKind::Unreachable, "{target}: {failure}");
                assert!(failure.detail.contains(said), "{target}: {failure}");
            }
        }
        let options = DnsOptions {
            server: Some(address::PROHIBITED.v4.to_string()),
            timeout: TIMEOUT,
            attempts: 1,
            ..DnsOptions::default()
        };
        let report = dns::check("a.test", &options).await;
        assert_eq!(report.failure.unwrap().kind, FailureKind::Unreachable);
        assert_eq!((report.attempts.len(), report.lost), (1, 0));
        for (target, said) in &unreachable {
            for (target, said) in target.both().map(at_port).into_iter().zip(said) {
                let failure = tcp_to(&target, TIMEOUT).await;
                assert_eq!(failure.kind, FailureKind::Unreachable, "{target}: {failure}");
                assert!(failure.detail.contains(said), "{target}: {failure}");
            }
        }
        for target in address::DISCARDED.both().map(at_port) {
            assert_eq!(tcp_to(&target, SHORT).await.kind, FailureKind::TimedOut, "{target}");
            assert_eq!(udp_to(&target, SHORT).await.kind, FailureKind::TimedOut, "{target}");
        }
    });
    told.unwrap();
    topology.a().ip(["route", "del", "default"]).unwrap();
    topology.a().ip(["-6", "route", "del", "default"]).unwrap();
    let unrouted = topology.a().block_on(|| async {
        for target in address::B.both().map(at_port) {
            assert_eq!(tcp_to(&target, TIMEOUT).await.kind, FailureKind::NoRoute, "{target}");
            assert_eq!(udp_to(&target, TIMEOUT).await.kind, FailureKind::NoRoute, "{target}");
        }
    });
    unrouted.unwrap();
}

#[test]
fn a_router_that_takes_only_short_packets_says_so() {
    let Some(topology) = topology() else { return };
    topology.set_mtu(1300).unwrap();
    let told = topology.a().block_on(|| async {
        let options = UdpOptions {
            probe: Probe::Bytes {
                payload: vec![0; 1400],
                expect: Some(Expect::Any),
            },
            timeout: TIMEOUT,
            ..UdpOptions::default()
        };
        let failure = udp::check(&at_port(address::B.v4.into()), &options)
            .await
            .failure
            .unwrap();
        assert_eq!(failure.kind, FailureKind::TooLarge, "{failure}");
        let said = format!("ICMP type 3 code 4, sent by {}", address::R1.v4);
        assert!(failure.detail.contains(&said), "{failure}");
    });
    told.unwrap();
}

#[test]
fn a_name_server_whose_own_name_leads_nowhere_is_what_is_wrong() {
    let Some(topology) = topology() else { return };
    // Nobody can be asked about names from here then.
    topology.a().ip(["route", "del", "default"]).unwrap();
    topology.a().ip(["-6", "route", "del", "default"]).unwrap();
    let told = topology.a().block_on(|| async {
        let options = DnsOptions {
            server: Some("nobody.invalid".to_owned()),
            timeout: TIMEOUT,
            ..DnsOptions::default()
        };
        let report = dns::check("a.test", &options).await;
        let failure = report.failure.unwrap();
        assert_eq!((failure.kind, report.server), (FailureKind::NameServer, None));
        assert!(
            failure.detail.starts_with("the name server cannot be asked: "),
            "{failure}"
        );
    });
    told.unwrap();
}
