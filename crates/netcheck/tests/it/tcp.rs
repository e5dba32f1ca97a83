//! TCP: connections that come about, and each way in which they do not.
use netcheck::{
    FailureKind, Family,
    tcp::{self, TcpOptions, TcpOutcome},
};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A port of the loopback that is free in both families, with a listener on IPv4 alone: on IPv6 it refuses.
async fn v4_only() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A listener whose queue one connection fills, and that accepts nothing: Linux drops what comes then, as a firewall does.
async fn silent() -> (TcpListener, TcpStream, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let held = TcpStream::connect(address).await.unwrap();
    (listener, held, address.to_string())
}

#[tokio::test]
async fn a_connection_is_reported_with_its_ends_and_times() {
    let (listener, port) = v4_only().await;
    let (report, stream) = tcp::connect(&format!("127.0.0.1:{port}"), &TcpOptions::default()).await;
    assert_eq!(report.failure, None);
    let (accepted, from) = listener.accept().await.unwrap();
    assert_eq!(report.local, Some(from));
    assert_eq!(report.address, Some(accepted.local_addr().unwrap()));
    assert_eq!(stream.unwrap().local_addr().unwrap(), from);
    assert_eq!((report.dns, report.found), (None, 1));
    assert!(report.connect.unwrap() > Duration::ZERO && report.connect.unwrap() <= report.total);
    assert_eq!(report.attempts.len(), 1);
    assert_eq!(report.attempts[0].outcome, TcpOutcome::Connected);
}

#[tokio::test]
async fn ipv6_is_written_in_brackets() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let report = tcp::check(&target, &TcpOptions::default()).await;
    assert_eq!(report.failure, None);
    let v4 = TcpOptions {
        family: Family::V4,
        ..TcpOptions::default()
    };
    let report = tcp::check(&target, &v4).await;
    assert_eq!(report.failure.unwrap().kind, FailureKind::Invalid);
}

#[tokio::test]
async fn a_closed_port_refuses() {
    // The port is ours, and nobody listens at it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let report = tcp::check(&target, &TcpOptions::default()).await;
    let failure = report.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(failure.detail, format!("{target}: nobody listens there"));
    assert_eq!((report.attempts[0].outcome, report.connect), (TcpOutcome::Failed, None));
}

#[tokio::test]
async fn silence_is_a_time_out() {
    let (_listener, _held, target) = silent().await;
    let options = TcpOptions {
        timeout: Duration::from_millis(200),
        ..TcpOptions::default()
    };
    let report = tcp::check(&target, &options).await;
    let failure = report.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
    assert!(report.attempts[0].took >= options.timeout && report.total >= options.timeout);
}

#[tokio::test]
async fn a_name_with_both_families_is_connected_by_the_one_that_accepts() {
    let (_listener, port) = v4_only().await;
    let options = TcpOptions {
        prefer: Family::V6,
        ..TcpOptions::default()
    };
    let report = tcp::check(&format!("localhost:{port}"), &options).await;
    assert_eq!(report.failure, None);
    assert_eq!(report.address, Some(([127, 0, 0, 1], port).into()));
    assert!(report.dns.is_some() && report.found == report.attempts.len());
    // Where this machine's hosts file has both, IPv6 was tried first and its refusal began the other at once.
    if let [first, second] = report.attempts.as_slice() {
        assert!(first.address.is_ipv6());
        assert_eq!(first.failure.as_ref().unwrap().kind, FailureKind::Refused);
        assert_eq!(second.outcome, TcpOutcome::Connected);
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_invalid_and_nothing_is_tried() {
    for target in ["localhost", "127.0.0.1:0", "http://localhost/", "::1:x"] {
        let report = tcp::check(target, &TcpOptions::default()).await;
        assert_eq!(report.failure.unwrap().kind, FailureKind::Invalid, "{target}");
        assert!(report.attempts.is_empty());
    }
    for options in [
        TcpOptions {
            timeout: Duration::MAX,
            ..TcpOptions::default()
        },
        TcpOptions {
            timeout: Duration::ZERO,
            ..TcpOptions::default()
        },
        TcpOptions {
            attempt_delay: Duration::from_millis(9),
            ..TcpOptions::default()
        },
        TcpOptions {
            max_addresses: 0,
            ..TcpOptions::default()
        },
    ] {
        let report = tcp::check("127.0.0.1:1", &options).await;
        assert_eq!(report.failure.unwrap().kind, FailureKind::Invalid, "{options:?}");
    }
}

#[tokio::test]
async fn no_route_is_told_from_what_the_network_says() {
    // The system connects to no broadcast address.
    let report = tcp::check("255.255.255.255:80", &TcpOptions::default()).await;
    let failure = report.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::NoRoute);
    assert_eq!(failure.detail, "this machine has no route to 255.255.255.255");
    assert_eq!(report.attempts[0].outcome, TcpOutcome::Failed);
}

#[tokio::test]
async fn a_link_local_address_needs_its_interface() {
    let report = tcp::check("[fe80::1]:80", &TcpOptions::default()).await;
    let failure = report.failure.unwrap();
    assert!(
        [FailureKind::Invalid, FailureKind::NoRoute].contains(&failure.kind),
        "{failure}"
    );
}

#[tokio::test]
async fn the_server_sees_an_orderly_end_or_a_reset_as_it_was_asked_for() {
    use tokio::io::AsyncReadExt;
    let (listener, port) = v4_only().await;
    let target = format!("127.0.0.1:{port}");
    for reset in [false, true] {
        let options = TcpOptions {
            reset,
            ..TcpOptions::default()
        };
        assert_eq!(tcp::check(&target, &options).await.failure, None);
        let (mut accepted, _) = listener.accept().await.unwrap();
        let end = accepted.read(&mut [0; 1]).await.map_err(|error| error.kind());
        let expected = if reset {
            Err(std::io::ErrorKind::ConnectionReset)
        } else {
            Ok(0)
        };
        assert_eq!(end, expected);
    }
}

#[tokio::test]
async fn a_report_is_json_with_times_in_milliseconds() {
    let (_listener, port) = v4_only().await;
    let report = tcp::check(&format!("127.0.0.1:{port}"), &TcpOptions::default()).await;
    let json = serde_json::to_value(&report).unwrap();
    let connect = json["connect_ms"].as_f64().unwrap();
    assert!((connect - report.connect.unwrap().as_nanos() as f64 / 1e6).abs() < 1e-9);
    assert_eq!(json["attempts"][0]["outcome"], "connected");
    assert!(json["dns_ms"].is_null() && json["failure"].is_null());
}
