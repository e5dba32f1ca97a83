//! DNS: a real name server.
use netcheck::{
    FailureKind, Family,
    dns::{self, DnsExpect, DnsOptions, DnsOutcome, DnsReport, RecordType, ResponseCode, Transport},
};
use std::{net::SocketAddr, time::Duration};
use testkit::Dnsmasq;

pub(crate) fn options(server: SocketAddr, record_type: RecordType) -> DnsOptions {
    DnsOptions {
        record_type,
        server: Some(server.to_string()),
        timeout: Duration::from_secs(60),
        attempts: 1,
        ..DnsOptions::default()
    }
}

fn expecting(server: SocketAddr, record_type: RecordType, expect: DnsExpect) -> DnsOptions {
    DnsOptions {
        expect,
        ..options(server, record_type)
    }
}

pub(crate) fn kind(report: &DnsReport) -> Option<FailureKind> {
    report.failure.as_ref().map(|failure| failure.kind)
}

fn zone() -> Dnsmasq {
    // As many records as make an answer longer than a datagram of 1232 bytes.
    let long = ('a'..='h').map(|c| format!("txt-record=long.shoal.test,{}", c.to_string().repeat(250)));
    let records = [
        "host-record=www.shoal.test,192.0.2.7,2001:db8::7,300",
        "host-record=two.shoal.test,192.0.2.1",
        "host-record=two.shoal.test,192.0.2.2",
        "cname=alias.shoal.test,www.shoal.test,60",
        "mx-host=shoal.test,mail.shoal.test,10",
        "srv-host=_imaps._tcp.shoal.test,mail.shoal.test,993,1,2",
        "txt-record=shoal.test,v=spf1 -all",
        "ptr-record=7.2.0.192.in-addr.arpa,www.shoal.test",
        // A record of the beginning of a zone, with the serial number 2024.
        "dns-rr=shoal.test,6,02:6e:73:00:04:72:6f:6f:74:00:00:00:07:e8:00:00:00:01:00:00:00:02:00:00:00:03:00:00:00:04",
    ];
    Dnsmasq::start(records.into_iter().map(str::to_owned).chain(long)).unwrap()
}

#[tokio::test]
async fn a_real_server_is_asked_for_every_type() {
    let server = zone();
    let at = server.address();
    for (name, record_type, data) in [
        ("www.shoal.test", "A", "192.0.2.7"),
        ("www.shoal.test.", "aaaa", "2001:db8::7"),
        ("alias.shoal.test", "A", "192.0.2.7"),
        ("shoal.test", "MX", "10 mail.shoal.test."),
        ("_imaps._tcp.shoal.test", "SRV", "1 2 993 mail.shoal.test."),
        ("shoal.test", "TXT", "v=spf1 -all"),
        ("192.0.2.7", "PTR", "www.shoal.test."),
        ("shoal.test", "SOA", "ns root 2024 1 2 3 4"),
    ] {
        let expect = DnsExpect {
            equals: Some(vec![data.to_owned()]),
            ..DnsExpect::default()
        };
        let report = dns::check(name, &expecting(at, record_type.parse().unwrap(), expect)).await;
        assert_eq!(report.failure, None, "{name} {record_type}: {report:?}");
        assert_eq!((report.server, report.transport), (Some(at), Some(Transport::Udp)));
        assert_eq!((report.response_code, report.lost), (Some(ResponseCode::NOERROR), 0));
        assert!(report.time.unwrap() > Duration::ZERO && report.size.unwrap() > 12);
        assert_eq!(report.attempts.len(), 1);
    }
    let asked = server.wait_for_query("_imaps._tcp.shoal.test").unwrap();
    assert_eq!(asked, "query[SRV] _imaps._tcp.shoal.test from 127.0.0.1");
}

#[tokio::test]
async fn an_alias_stands_in_the_answer_with_its_times() {
    let server = zone();
    let report = dns::check("alias.shoal.test", &options(server.address(), RecordType::A)).await;
    let answers: Vec<_> = report
        .answers
        .iter()
        .map(|answer| (answer.name.as_str(), answer.ttl))
        .collect();
    assert_eq!(answers, [("alias.shoal.test.", 60), ("www.shoal.test.", 300)]);
    let flags = report.flags.unwrap();
    assert!(flags.recursion_desired && flags.recursion_available && !flags.truncated);
}

#[tokio::test]
async fn what_a_real_server_does_not_know_is_told_apart() {
    let server = zone();
    let at = server.address();
    let report = dns::check("nothing.shoal.test", &options(at, RecordType::A)).await;
    assert_eq!(
        (kind(&report), report.response_code),
        (Some(FailureKind::NameNotFound), Some(ResponseCode::NXDOMAIN))
    );
    let expect = DnsExpect {
        response_code: ResponseCode::NXDOMAIN,
        ..DnsExpect::default()
    };
    let report = dns::check("nothing.shoal.test", &expecting(at, RecordType::A, expect)).await;
    assert_eq!(report.failure, None);
    let report = dns::check("two.shoal.test", &options(at, RecordType::AAAA)).await;
    assert_eq!(
        (kind(&report), report.response_code),
        (Some(FailureKind::Unexpected), Some(ResponseCode::NOERROR))
    );
    // It asks nobody, and says so.
    let report = dns::check("example.org", &options(at, RecordType::A)).await;
    assert_eq!(kind(&report), Some(FailureKind::NameServer));
    assert!(report.failure.unwrap().detail.contains("answered REFUSED"));
}

#[tokio::test]
async fn an_answer_that_is_not_the_expected_one_is_shown() {
    let server = zone();
    let expect = DnsExpect {
        contains: vec!["192.0.2.3".to_owned()],
        ..DnsExpect::default()
    };
    let report = dns::check("two.shoal.test", &expecting(server.address(), RecordType::A, expect)).await;
    assert_eq!(kind(&report), Some(FailureKind::Unexpected));
    let detail = report.failure.unwrap().detail;
    assert!(
        detail.starts_with("192.0.2.3 is not among the A records of two.shoal.test.: 192.0.2."),
        "{detail}"
    );
    let serial = |least| DnsExpect {
        min_serial: Some(least),
        ..DnsExpect::default()
    };
    let report = dns::check(
        "shoal.test",
        &expecting(server.address(), RecordType::SOA, serial(2024)),
    )
    .await;
    assert_eq!((report.failure, report.serial), (None, Some(2024)));
    let report = dns::check(
        "shoal.test",
        &expecting(server.address(), RecordType::SOA, serial(2025)),
    )
    .await;
    assert_eq!(kind(&report), Some(FailureKind::Unexpected));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_over_tcp_and_both_are_reported() {
    let server = zone();
    let report = dns::check("long.shoal.test", &options(server.address(), RecordType::TXT)).await;
    assert_eq!(report.failure, None);
    assert_eq!(report.transport, Some(Transport::Tcp));
    let outcomes: Vec<_> = report
        .attempts
        .iter()
        .map(|attempt| (attempt.transport, attempt.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            (Transport::Udp, DnsOutcome::Truncated),
            (Transport::Tcp, DnsOutcome::Answered)
        ]
    );
    assert!(report.size.unwrap() > 2000 && report.answers.len() == 8);
    let small = DnsOptions {
        max_size: 1000,
        ..options(server.address(), RecordType::TXT)
    };
    let report = dns::check("long.shoal.test", &small).await;
    assert_eq!(kind(&report), Some(FailureKind::TooLarge));
    let tcp = DnsOptions {
        transport: Transport::Tcp,
        ..options(server.address(), RecordType::A)
    };
    let report = dns::check("www.shoal.test", &tcp).await;
    assert_eq!((report.failure, report.attempts.len()), (None, 1));
}

#[tokio::test]
async fn the_name_of_an_address_is_found_or_there_is_none() {
    let server = Dnsmasq::start([
        "ptr-record=7.2.0.192.in-addr.arpa,www.shoal.test",
        "local=/in-addr.arpa/",
    ])
    .unwrap();
    let name = |address: &str| dns::reverse(address.parse().unwrap(), server.address(), Duration::from_secs(60));
    assert_eq!(name("192.0.2.7").await, Ok(Some("www.shoal.test".to_owned())));
    assert_eq!(name("192.0.2.8").await, Ok(None));
    assert_eq!(name("2001:db8::1").await.unwrap_err().kind, FailureKind::NameServer);
}

#[tokio::test]
async fn what_cannot_be_asked_is_invalid() {
    let at = "127.0.0.1:9".parse().unwrap();
    for wrong in [
        DnsOptions {
            edns: None,
            dnssec: true,
            ..options(at, RecordType::A)
        },
        DnsOptions {
            edns: Some(511),
            ..options(at, RecordType::A)
        },
        DnsOptions {
            attempts: 0,
            ..options(at, RecordType::A)
        },
        DnsOptions {
            record_type: RecordType(252),
            ..options(at, RecordType::A)
        },
        DnsOptions {
            server: Some("127.0.0.1:x".to_owned()),
            ..options(at, RecordType::A)
        },
        DnsOptions {
            family: Family::V6,
            ..options(at, RecordType::A)
        },
    ] {
        let report = dns::check("a.test", &wrong).await;
        assert_eq!(
            (kind(&report), report.attempts.len()),
            (Some(FailureKind::Invalid), 0),
            "{wrong:?}"
        );
    }
    let report = dns::check("a b", &options(at, RecordType::A)).await;
    assert_eq!(kind(&report), Some(FailureKind::Invalid));
}

#[tokio::test]
async fn a_report_is_json_with_names_for_numbers() {
    let server = zone();
    let report = dns::check("www.shoal.test", &options(server.address(), RecordType::A)).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (&json["record_type"], &json["response_code"]),
        (&"A".into(), &"NOERROR".into())
    );
    assert_eq!(
        (&json["answers"][0]["type"], &json["attempts"][0]["outcome"]),
        (&"A".into(), &"answered".into())
    );
    assert!(json["time_ms"].as_f64().unwrap() > 0.0);
}
