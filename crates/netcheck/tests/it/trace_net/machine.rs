//! Without rights, and what this machine itself does.
use super::{ALL, PATIENT, TCP, UDP, network, options, routers};
use crate::ping_net::datagram::{open_network, without_rights};
use netcheck::{
    Doubt, FailureKind,
    icmp::Access,
    trace::{Protocol, TraceOptions, TraceReport, Tracer, TracerOptions},
};
use socket2::{Domain, Socket, Type};
use std::{
    net::{IpAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use testkit::{
    Program,
    net::{Topology, address},
};

/// A trace by a user without rights.
fn trace(network: &Topology, to: IpAddr, options: TraceOptions) -> TraceReport {
    let run = move || {
        without_rights();
        let tracer = Tracer::start(TracerOptions::default()).unwrap();
        async move { tracer.trace(to, options).await }
    };
    network.a().block_on(run).unwrap()
}

#[test]
fn a_user_without_rights_traces_by_udp_and_tcp() {
    let Some(network) = network() else { return };
    for protocol in [UDP, TCP] {
        for (at, target) in address::B.both().into_iter().enumerate() {
            let report = trace(&network, target, options(protocol));
            let way = [address::R1, address::R2, address::B].map(|router| vec![router.both()[at]]);
            assert_eq!(routers(&report), way, "{protocol:?} {report:?}");
            assert_eq!(report.access, None);
        }
    }
    let report = trace(&network, address::B.v4.into(), options(Protocol::Icmp));
    let failure = report.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Permission);
    assert!(failure.remedy().contains("ping_group_range"), "{failure}");
}

#[test]
fn attempts_by_tcp_have_their_port_while_processes_are_started() {
    let Some(network) = network() else { return };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // What is open here is open in each of these too, until it runs its program.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                Program::at("true").run().unwrap();
            }
        });
        let traces = (0..20).map(|_| trace(&network, address::B.v4.into(), options(TCP)));
        let failed: Vec<_> = traces.filter(|report| !report.reached).collect();
        is_over.store(true, Relaxed);
        assert!(failed.is_empty(), "{failed:?}");
    });
}

#[test]
fn a_user_whose_group_may_ping_traces_by_icmp() {
    let Some(network) = open_network() else { return };
    for target in address::B.both() {
        let report = trace(&network, target, options(Protocol::Icmp));
        assert_eq!(
            (report.access, report.hops.len()),
            (Some(Access::Datagram), 3),
            "{report:?}"
        );
        assert!(report.reached && report.trust.dropped == Some(0), "{report:?}");
    }
}

#[test]
fn what_a_stopped_process_missed_is_no_loss() {
    let Some(network) = network() else { return };
    network.cut(true);
    for protocol in ALL {
        let brief = TraceOptions {
            count: 1,
            timeout: Duration::from_millis(300),
            give_up_after: 1,
            ..options(protocol)
        };
        let run = move || async move {
            let tracer = Tracer::start(TracerOptions::default()).unwrap();
            let mut tracing = tokio::task::JoinSet::new();
            tracing.spawn(async move { tracer.trace(address::B.v4.into(), brief).await });
            // The probes are sent, and then nothing of this runtime runs for longer than they have time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            thread::sleep(Duration::from_secs(1));
            tracing.join_next().await.unwrap().unwrap()
        };
        let report = network.a().block_on(run).unwrap();
        if protocol == TCP {
            let doubts: Vec<Doubt> = report.trust.doubts().collect();
            assert_eq!(doubts, [Doubt::Stalled], "{report:?}");
            assert_eq!(
                report.hops.last().map(|hop| (hop.lost, hop.unknown)),
                Some((0, 1)),
                "{report:?}"
            );
        } else {
            // Their engine has a thread of its own, which went on.
            let last = report.hops.last().map(|hop| (hop.lost, hop.unknown));
            assert_eq!(last, Some((1, 0)), "{report:?}");
        }
        assert!(report.total < PATIENT);
    }
}

#[test]
fn probes_leave_from_the_address_that_was_given() {
    let Some(network) = network() else { return };
    let source: IpAddr = "10.201.1.77".parse().unwrap();
    network
        .a()
        .ip(["addr", "add", "10.201.1.77/24", "dev", "eth0"])
        .unwrap();
    let far = || {
        let udp = UdpSocket::bind((address::B.v4, 33434)).unwrap();
        let tcp = TcpListener::bind((address::B.v4, 0)).unwrap();
        let icmp = Socket::new(Domain::IPV4, Type::RAW, Some(socket2::Protocol::ICMPV4)).unwrap();
        (udp, tcp, icmp)
    };
    let (udp, tcp, icmp) = network.b().enter(far).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let tracer = TracerOptions {
        source: Some(source),
        ..TracerOptions::default()
    };
    let run = move |protocol, to: IpAddr| {
        let once = TraceOptions {
            count: 1,
            timeout: Duration::from_secs(1),
            ..options(protocol)
        };
        let work = move || async move { Tracer::start(tracer).unwrap().trace(to, once).await };
        network.a().block_on(work).unwrap()
    };
    let b = IpAddr::from(address::B.v4);
    // Somebody listens at that port, and says nothing.
    assert!(!run(UDP, b).reached);
    let (_, from) = udp.recv_from(&mut [0; 256]).unwrap();
    assert_eq!(from.ip(), source);
    assert!(run(Protocol::Tcp { port }, b).reached);
    assert_eq!(tcp.accept().unwrap().1.ip(), source);
    assert!(run(Protocol::Icmp, b).reached);
    let mut packet = [0; 256];
    let length = std::io::Read::read(&mut &icmp, &mut packet).unwrap();
    assert_eq!(packet[12..16], [10, 201, 1, 77], "{:?}", &packet[..length]);
    for protocol in ALL {
        let failure = run(protocol, address::B.v6.into()).failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
        assert!(
            failure.detail.contains("give an IPv6 address as the source"),
            "{failure}"
        );
    }
}

#[test]
fn attempts_by_tcp_to_one_target_take_turns() {
    let Some(network) = network() else { return };
    let run = || async {
        let tracer = Tracer::start(TracerOptions::default()).unwrap();
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let tracer = tracer.clone();
            under_way.spawn(async move { tracer.trace(address::B.v4.into(), options(TCP)).await });
        }
        under_way.join_all().await
    };
    for report in network.a().block_on(run).unwrap() {
        assert_eq!(
            (report.reached, report.hops.len(), &report.unsent),
            (true, 3, &None),
            "{report:?}"
        );
    }
}
