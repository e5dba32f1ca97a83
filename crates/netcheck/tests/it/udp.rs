//! UDP: answers, refusals, silence, and what only looks like an answer.
use netcheck::{
    FailureKind,
    udp::{self, Expect, Probe, ResponseCode, UdpOptions, UdpReport, UdpState},
};
use std::{
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};
use testkit::Dnsmasq;
use tokio::net::UdpSocket;

async fn server() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = socket.local_addr().unwrap().to_string();
    (socket, target)
}

fn probing(probe: Probe) -> UdpOptions {
    UdpOptions {
        probe,
        timeout: Duration::from_secs(60),
        ..UdpOptions::default()
    }
}

fn bytes(expect: Option<Expect>) -> UdpOptions {
    let probe = Probe::bytes("hello").unwrap();
    probing(match expect {
        Some(expect) => probe.expecting(expect),
        None => probe,
    })
}

/// Checks a server that sends what `answer` makes of each datagram; nothing for what it drops.
async fn against<F>(options: &UdpOptions, mut answer: F) -> UdpReport
where
    F: FnMut(&[u8]) -> Vec<Vec<u8>>,
{
    let (server, target) = server().await;
    let serve = async {
        let mut buffer = [0; 65_535];
        loop {
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            for reply in answer(&buffer[..length]) {
                server.send_to(&reply, from).await.unwrap();
            }
        }
    };
    tokio::select! {
        report = udp::check(&target, options) => report,
        () = serve => unreachable!("it serves for ever"),
    }
}

fn kind(report: &UdpReport) -> Option<FailureKind> {
    assert_eq!(report.state == UdpState::Failed, report.failure.is_some(), "{report:?}");
    report.failure.as_ref().map(|failure| failure.kind)
}

#[tokio::test]
async fn a_reply_is_compared_with_what_is_expected() {
    let upper = |asked: &[u8]| vec![asked.to_ascii_uppercase()];
    let report = against(&bytes(Some(Expect::Exact(b"HELLO".to_vec()))), upper).await;
    assert_eq!(
        (report.state, report.reply.as_deref()),
        (UdpState::Answered, Some("HELLO"))
    );
    assert!(report.time.unwrap() > Duration::ZERO && report.local.is_some());
    assert_eq!((report.sent, report.lost, report.reply_size), (1, Some(0), Some(5)));
    let report = against(&bytes(Some(Expect::Prefix(b"hello".to_vec()))), upper).await;
    assert_eq!(kind(&report), Some(FailureKind::Unexpected));
    let failure = report.failure.unwrap();
    assert!(
        failure
            .detail
            .ends_with("sent `HELLO`, which does not begin with `hello`"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_closed_port_is_told_from_silence_and_by_whom() {
    for host in ["127.0.0.1", "::1"] {
        // The port is ours, and its socket takes datagrams of nobody but itself.
        let socket = UdpSocket::bind((host, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        socket.connect(address).await.unwrap();
        let report = udp::check(&address.to_string(), &bytes(Some(Expect::Any))).await;
        assert_eq!(kind(&report), Some(FailureKind::Refused), "{report:?}");
        let detail = report.failure.unwrap().detail;
        assert!(
            detail.contains("ICMP") && detail.contains("sent by the target"),
            "{detail}"
        );
        assert_eq!((report.lost, report.attempts.len()), (Some(0), 1));
    }
}

#[tokio::test]
async fn silence_is_a_failure_only_where_an_answer_is_due() {
    let short = |expect| UdpOptions {
        timeout: Duration::from_millis(50),
        ..bytes(expect)
    };
    let report = against(&short(Some(Expect::Any)), |_| Vec::new()).await;
    assert_eq!((kind(&report), report.lost), (Some(FailureKind::TimedOut), Some(1)));
    let report = against(&short(None), |_| Vec::new()).await;
    assert_eq!(
        (report.state, report.state.is_success(), kind(&report)),
        (UdpState::OpenOrSilent, None, None)
    );
    assert_eq!((report.sent, report.lost), (1, None));
    let report = against(&bytes(None), |_| vec![b"so".to_vec()]).await;
    assert_eq!(report.state, UdpState::Answered);
}

#[tokio::test]
async fn a_lost_datagram_is_counted_though_the_next_is_answered() {
    let mut seen = 0;
    let options = UdpOptions {
        attempts: 3,
        timeout: Duration::from_secs(2),
        ..bytes(Some(Expect::Any))
    };
    let report = against(&options, |asked| {
        seen += 1;
        if seen == 1 { Vec::new() } else { vec![asked.to_vec()] }
    })
    .await;
    assert_eq!(report.state, UdpState::Answered);
    assert_eq!((report.sent, report.lost), (2, Some(1)));
    assert_eq!(report.attempts[0].failure.as_ref().unwrap().kind, FailureKind::TimedOut);
    assert!(report.attempts[1].answered);
}

#[tokio::test]
async fn an_answer_from_another_address_changes_only_a_counter() {
    let (server, target) = server().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options = probing(Probe::Echo { size: 16 });
    let serve = async {
        let mut buffer = [0; 64];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        stranger.send_to(&buffer[..length], from).await.unwrap();
        // The right address with other bytes is no echo either.
        server.send_to(b"something else", from).await.unwrap();
        server.send_to(&buffer[..length], from).await.unwrap();
    };
    let (report, ()) = tokio::join!(udp::check(&target, &options), serve);
    assert_eq!((report.state, report.foreign), (UdpState::Answered, 2), "{report:?}");
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_a_failure() {
    let options = UdpOptions {
        max_reply: 100,
        ..bytes(Some(Expect::Any))
    };
    let report = against(&options, |_| vec![vec![0; 101]]).await;
    assert_eq!(kind(&report), Some(FailureKind::TooLarge));
    let report = against(&options, |_| vec![vec![0; 100]]).await;
    assert_eq!((report.state, report.reply_size), (UdpState::Answered, Some(100)));
}

#[tokio::test]
async fn a_real_name_server_answers_the_probe_of_dns() {
    let server = Dnsmasq::start(["host-record=www.shoal.test,192.0.2.7"]).unwrap();
    let target = server.address().to_string();
    // It has nobody to ask about the root, or about what is not its own.
    for (name, code, state) in [
        ("", ResponseCode::REFUSED, UdpState::Answered),
        ("www.shoal.test", ResponseCode::NOERROR, UdpState::Answered),
        ("nothing.shoal.test", ResponseCode::NXDOMAIN, UdpState::Answered),
        ("shoal.example", ResponseCode::REFUSED, UdpState::Failed),
    ] {
        let report = udp::check(&target, &probing(Probe::Dns { name: name.to_owned() })).await;
        assert_eq!(
            (report.state, report.response_code),
            (state, Some(code)),
            "{name}: {report:?}"
        );
    }
}

#[tokio::test]
async fn a_time_server_is_read_and_a_forged_time_is_not() {
    let since = UNIX_EPOCH.elapsed().unwrap().as_secs() + 2_208_988_800;
    let seconds = (since as u32).to_be_bytes();
    let report = against(&probing(Probe::Ntp), |asked| {
        assert_eq!((asked.len(), asked[0]), (48, 0x23));
        let mut reply = [0; 48];
        reply[..4].copy_from_slice(&[0x24, 1, 6, 0xec]);
        reply[12..16].copy_from_slice(b"GPS\0");
        reply[24..32].copy_from_slice(&asked[40..48]);
        reply[32..36].copy_from_slice(&seconds);
        reply[40..44].copy_from_slice(&seconds);
        let mut forged = reply;
        forged[24] ^= 1;
        vec![forged.to_vec(), reply.to_vec()]
    })
    .await;
    assert_eq!((report.state, report.foreign), (UdpState::Answered, 1), "{report:?}");
    let said = report.ntp.unwrap();
    assert_eq!((said.stratum, said.reference.as_str(), said.kiss), (1, "GPS", None));
    assert!(said.offset.unwrap().abs() < 900e3, "it is our own clock");
}

#[tokio::test]
async fn a_time_server_that_makes_no_sense_is_told_so_and_nothing_of_it_is_reported() {
    let report = against(&probing(Probe::Ntp), |asked| {
        let mut reply = [0; 48];
        // Its clock counts in steps of 2^127 seconds.
        reply[..4].copy_from_slice(&[0x24, 1, 6, 127]);
        reply[24..32].copy_from_slice(&asked[40..48]);
        reply[32..48].fill(1);
        vec![reply.to_vec()]
    })
    .await;
    assert_eq!((kind(&report), &report.ntp), (Some(FailureKind::Protocol), &None));
    let detail = &report.failure.as_ref().unwrap().detail;
    assert!(detail.ends_with("steps of 2^127 s, which none does"), "{detail}");
}

#[tokio::test]
async fn a_report_is_json_with_times_in_milliseconds() {
    let report = against(&bytes(Some(Expect::Any)), |asked| vec![asked.to_vec()]).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["state"], &json["reply"]), (&"answered".into(), &"hello".into()));
    let time = report.time.unwrap().as_nanos() as f64 / 1e6;
    assert!((json["time_ms"].as_f64().unwrap() - time).abs() < 1e-9);
    assert!(json["attempts"][0]["took_ms"].as_f64().unwrap() >= time);
}

#[tokio::test]
async fn a_kiss_of_death_is_a_failure_with_its_code() {
    let report = against(&probing(Probe::Ntp), |asked| {
        let mut reply = [0; 48];
        reply[0] = 0xe4;
        reply[12..16].copy_from_slice(b"DENY");
        reply[24..32].copy_from_slice(&asked[40..48]);
        vec![reply.to_vec()]
    })
    .await;
    assert_eq!(kind(&report), Some(FailureKind::Unexpected));
    assert!(report.failure.unwrap().detail.contains("DENY"));
    assert_eq!(report.ntp.unwrap().kiss.as_deref(), Some("DENY"));
}

#[tokio::test]
async fn what_cannot_be_sent_is_invalid() {
    let too_long = Probe::Bytes {
        payload: vec![0; 65_508],
        expect: None,
    };
    for options in [
        probing(too_long),
        probing(Probe::Echo { size: 7 }),
        UdpOptions {
            attempts: 0,
            ..bytes(None)
        },
    ] {
        let report = udp::check("127.0.0.1:9", &options).await;
        assert_eq!((kind(&report), report.sent), (Some(FailureKind::Invalid), 0));
    }
    let report = udp::check("127.0.0.1", &bytes(None)).await;
    assert!(report.failure.unwrap().detail.contains("127.0.0.1:PORT"));
}

#[tokio::test]
async fn a_datagram_longer_than_the_way_takes_is_told_so() {
    // The loopback takes 64 KiB: with the header of IPv6 in the way, this is the longest that is sent in one piece.
    let (server, target) = server().await;
    let payload = vec![b'x'; 60_000];
    let probe = Probe::Bytes { payload, expect: None };
    let serve = async {
        let mut buffer = vec![0; 65_535];
        let (length, from): (usize, SocketAddr) = server.recv_from(&mut buffer).await.unwrap();
        server.send_to(format!("{length}").as_bytes(), from).await.unwrap();
    };
    let options = probing(probe);
    let (report, ()) = tokio::join!(udp::check(&target, &options), serve);
    assert_eq!(report.reply.as_deref(), Some("60000"));
}
