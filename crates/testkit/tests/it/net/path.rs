//! The path between the hosts: hops, ICMP errors, path MTU, ECMP.
use super::{network, receive, round_trip, socket};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, recvmsg, setsockopt, sockopt,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use testkit::net::{LinkSettings, Namespace, Topology, TopologyOptions, address};
use testkit::{GUARD, eventually};

const SECOND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Who answers a datagram that may take so many hops: its address, and type and code of its ICMP message.
fn answer(host: &Namespace, from: IpAddr, to: IpAddr, hops: u8) -> (IpAddr, u8, u8) {
    let socket = socket(host, from);
    if from.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true).unwrap();
        setsockopt(&socket, sockopt::Ipv4Ttl, &hops.into()).unwrap();
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true).unwrap();
        setsockopt(&socket, sockopt::Ipv6Ttl, &hops.into()).unwrap();
    }
    // An error waiting is told by poll whatever is asked for; an ICMP message is never promised, so that it is asked again.
    let told = (0..GUARD.as_secs()).any(|_| {
        socket.send_to(b"who is there", (to, 33_434)).unwrap();
        poll(&mut [PollFd::new(&socket, PollFlags::empty())], Some(&SECOND)).is_ok_and(|ready| ready > 0)
    });
    assert!(told, "nobody answers what {from} sends to {to} with {hops} hops");
    if from.is_ipv4() {
        error_of::<SockaddrIn>(&socket)
    } else {
        error_of::<SockaddrIn6>(&socket)
    }
}

fn error_of<S: SockaddrLike + Copy>(socket: &UdpSocket) -> (IpAddr, u8, u8) {
    let mut payload = [0; 256];
    let mut payload = [IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!([u8; 256]);
    let flags = MsgFlags::MSG_ERRQUEUE;
    let message = recvmsg::<S>(socket.as_raw_fd(), &mut payload, Some(&mut control), flags).unwrap();
    let found = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, Some(by)) => {
            let by = Ipv4Addr::from_bits(u32::from_be(by.sin_addr.s_addr));
            Some((by.into(), error.ee_type, error.ee_code))
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(by)) => {
            let by = Ipv6Addr::from(by.sin6_addr.s6_addr);
            Some((by.into(), error.ee_type, error.ee_code))
        }
        _ => None,
    });
    found.unwrap()
}

/// By IPv4 and by IPv6, from A: who answers, with which type and code.
fn answers(network: &Topology, to: address::DualAddress, hops: u8) -> [(IpAddr, u8, u8); 2] {
    let [v4, v6] = address::A.both();
    let a = network.a();
    [answer(a, v4, to.v4.into(), hops), answer(a, v6, to.v6.into(), hops)]
}

fn expect(who: address::DualAddress, v4: (u8, u8), v6: (u8, u8)) -> [(IpAddr, u8, u8); 2] {
    [(who.v4.into(), v4.0, v4.1), (who.v6.into(), v6.0, v6.1)]
}

#[test]
fn the_hosts_reach_each_other_by_both_families() {
    let Some(network) = network() else { return };
    for (a, b) in address::A.both().into_iter().zip(address::B.both()) {
        round_trip(&socket(network.a(), a), &socket(network.b(), b), 100);
    }
    let counts = network.counts();
    for counts in [counts.toward_a, counts.toward_b] {
        assert_eq!((counts.received, counts.delivered, counts.dropped()), (2, 2, 0));
    }
}

#[test]
fn a_trace_finds_both_routers_and_the_target() {
    let Some(network) = network() else { return };
    let (exceeded_v4, exceeded_v6) = ((11, 0), (3, 0));
    assert_eq!(
        answers(&network, address::B, 1),
        expect(address::R1, exceeded_v4, exceeded_v6)
    );
    assert_eq!(
        answers(&network, address::B, 2),
        expect(address::R2, exceeded_v4, exceeded_v6)
    );
    assert_eq!(answers(&network, address::B, 3), expect(address::B, (3, 3), (1, 4)));
    let [b, _] = address::B.both();
    let second = answer(network.b(), b, address::A.v4.into(), 2);
    assert_eq!(second, (address::R1_AT_LINK.v4.into(), 11, 0));
}

#[test]
fn refused_addresses_are_refused_with_the_code_they_say() {
    let Some(network) = network() else { return };
    for (to, v4, v6) in [
        (address::UNREACHABLE, (3, 1), (1, 0)),
        (address::PROHIBITED, (3, 13), (1, 1)),
        (address::NO_ROUTE, (3, 0), (1, 0)),
    ] {
        assert_eq!(answers(&network, to, 64), expect(address::R2, v4, v6), "{to:?}");
    }
}

#[test]
fn no_host_limits_its_icmp_errors() {
    let Some(network) = network() else { return };
    for (a, b) in address::A.both().into_iter().zip(address::B.both()) {
        network.link(LinkSettings::default());
        let a = socket(network.a(), a);
        // The kernel sends 50 at once and 1000 a second if it is not told otherwise, and loses some of 200 at once.
        for sent in (0..400).step_by(40) {
            for _ in 0..40 {
                a.send_to(b"closed", (b, 33_434)).unwrap();
            }
            let all = || Ok((network.counts().toward_a.delivered == sent + 40).then_some(()));
            eventually("answer to each datagram", all).unwrap();
        }
    }
}

#[test]
fn a_black_hole_at_r2_takes_what_goes_to_b_and_nothing_else() {
    let Some(network) = network() else { return };
    for (a, b) in address::A.both().into_iter().zip(address::B.both()) {
        let (a, b) = (socket(network.a(), a), socket(network.b(), b));
        network.blackhole(true).unwrap();
        a.send_to(b"lost", b.local_addr().unwrap()).unwrap();
        network.blackhole(true).unwrap();
        assert_eq!(answers(&network, address::R2, 64), expect(address::R2, (3, 3), (1, 4)));
        network.blackhole(false).unwrap();
        round_trip(&a, &b, 100);
    }
}

#[test]
fn a_link_with_a_smaller_mtu_says_so_and_one_with_a_black_hole_does_not() {
    let Some(network) = network() else { return };
    let known = |address: IpAddr| network.a().ip(["route", "get", &address.to_string()]).unwrap();
    for (a, b) in address::A.both().into_iter().zip(address::B.both()) {
        let (a, b) = (socket(network.a(), a), socket(network.b(), b));
        network.set_mtu(1500).unwrap();
        network.link(LinkSettings {
            black_hole_above: Some(1_000),
            ..LinkSettings::default()
        });
        a.send_to(&[0; 1_200], b.local_addr().unwrap()).unwrap();
        let swallowed = || Ok((network.counts().toward_b.too_big == 1).then_some(()));
        eventually("packet in the black hole", swallowed).unwrap();
        round_trip(&a, &b, 900);
        let target = b.local_addr().unwrap().ip();
        assert!(!known(target).contains("mtu"), "{}", known(target));

        network.link(LinkSettings::default());
        round_trip(&a, &b, 1_400);
        network.set_mtu(1300).unwrap();
        a.send_to(&[0; 1_400], b.local_addr().unwrap()).unwrap();
        let told = || Ok(known(target).contains("mtu 1300").then_some(()));
        eventually("word of the smaller MTU", told).unwrap();
    }
}

#[test]
fn a_stream_crosses_the_link_in_packets_of_its_mtu() {
    let Some(network) = network() else { return };
    network.set_mtu(1300).unwrap();
    network.link(LinkSettings {
        black_hole_above: Some(1_300),
        ..LinkSettings::default()
    });
    for address in address::B.both() {
        let listener = network.b().enter(|| TcpListener::bind((address, 0))).unwrap().unwrap();
        let target = listener.local_addr().unwrap();
        let mut sender = network.a().enter(|| TcpStream::connect(target)).unwrap().unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&sent).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).unwrap();
            received
        });
        assert!(received == sent, "{} bytes of {} came", received.len(), sent.len());
    }
    let counts = network.counts().toward_b;
    assert_eq!(counts.too_big, 0);
    // Two megabytes in packets of 1300 bytes are more than 1538.
    assert!(counts.delivered > 1_538, "{} packets", counts.delivered);
}

#[test]
fn flows_part_at_r1_and_each_keeps_its_way() {
    let options = TopologyOptions {
        ecmp: true,
        ..TopologyOptions::default()
    };
    let Some(network) = Topology::new_or_skip(&options).unwrap() else {
        return;
    };
    for (a, target) in address::A.both().into_iter().zip(address::ECMP_TARGET.both()) {
        let b = socket(network.b(), target);
        let mut buffer = [0; 64];
        let mut over_r2 = |socket: &UdpSocket| {
            let before = network.counts().toward_b.delivered;
            socket.send_to(b"which way", b.local_addr().unwrap()).unwrap();
            receive(&b, &mut buffer);
            network.counts().toward_b.delivered > before
        };
        let flows: Vec<_> = (0..48).map(|_| socket(network.a(), a)).collect();
        let ways: Vec<bool> = flows.iter().map(&mut over_r2).collect();
        assert!(ways.contains(&true) && ways.contains(&false), "{ways:?}");
        assert_eq!(flows.iter().map(&mut over_r2).collect::<Vec<_>>(), ways);
    }
    let seconds: std::collections::BTreeSet<_> = (0..48)
        .map(|_| answer(network.a(), address::A.v4.into(), address::ECMP_TARGET.v4.into(), 2))
        .collect();
    let [by_r2, by_r3] = [address::R2, address::R3].map(|router| (router.v4.into(), 11, 0));
    assert_eq!(seconds, [by_r2, by_r3].into());
}

#[test]
fn a_closed_port_refuses_a_connection() {
    let Some(network) = network() else { return };
    for address in address::B.both() {
        let refused = network
            .a()
            .block_on(|| tokio::net::TcpStream::connect((address, 9)))
            .unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
