//! DNS: name servers that lie, keep silent, damage what they send or hang up.
use crate::dns::{kind, options};
use netcheck::{
    FailureKind,
    dns::{self, DnsOptions, DnsOutcome, DnsReport, RecordType, ResponseCode, Transport},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, UdpSocket},
};

/// Asks a server that sends what `answer` makes of each query, twice at most.
async fn against<F>(timeout: Duration, mut answer: F) -> DnsReport
where
    F: FnMut(&[u8]) -> Vec<Vec<u8>>,
{
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options = DnsOptions {
        timeout,
        attempts: 2,
        ..options(server.local_addr().unwrap(), RecordType::A)
    };
    let serve = async {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            for reply in answer(&buffer[..length]) {
                server.send_to(&reply, from).await.unwrap();
            }
        }
    };
    tokio::select! {
        report = dns::check("a.test", &options) => report,
        () = serve => unreachable!("it serves for ever"),
    }
}

/// Whether a query has an OPT record at its end, of 11 bytes.
fn has_edns(query: &[u8]) -> bool {
    query[11] == 1
}

/// An answer to `query` with one record; its OPT record is left away.
fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query[..query.len() - if has_edns(query) { 11 } else { 0 }].to_vec();
    answer[2] |= 0x80;
    answer[7] = 1;
    answer[11] = 0;
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    answer
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_answers_something_else_is_counted_and_waited_on() {
    let report = against(LONG, |query| {
        let right = answer(query);
        let changed = |at: usize| {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            wrong
        };
        // Another id, another question, another type, a query, nothing at all, and less than a header.
        vec![
            changed(0),
            changed(13),
            changed(21),
            query.to_vec(),
            Vec::new(),
            right[..11].to_vec(),
            right,
        ]
    })
    .await;
    assert_eq!((&report.failure, report.foreign), (&None, 6), "{report:?}");
    assert_eq!(report.answers[0].data, "192.0.2.7");
    assert_eq!(report.attempts.len(), 1);
}

#[tokio::test]
async fn a_damaged_answer_is_a_failure_and_asked_for_once_more() {
    let mut number = 0;
    let report = against(LONG, |query| {
        number += 1;
        let right = answer(query);
        let mut looping = right.clone();
        let owner = looping.len() - 16;
        looping[owner + 1] = owner as u8;
        vec![if number == 1 { looping } else { right }]
    })
    .await;
    assert_eq!(report.failure, None);
    assert_eq!(report.attempts[0].failure.as_ref().unwrap().kind, FailureKind::Protocol);
    assert_eq!(report.attempts[1].outcome, DnsOutcome::Answered);
}

#[tokio::test]
async fn a_cut_answer_of_a_server_that_does_not_speak_tcp_is_told_so() {
    let report = against(LONG, |query| {
        let mut cut = answer(query);
        cut[2] |= 2;
        vec![cut]
    })
    .await;
    assert_eq!(kind(&report), Some(FailureKind::Refused));
    let detail = report.failure.unwrap().detail;
    assert!(
        detail.starts_with("the answer does not fit into a datagram, and over TCP: 127.0.0.1:"),
        "{detail}"
    );
    let outcomes: Vec<_> = report.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [DnsOutcome::Truncated, DnsOutcome::Failed].repeat(2));
}

#[tokio::test]
async fn a_lost_query_is_counted_though_the_next_is_answered() {
    let mut number = 0;
    let report = against(Duration::from_secs(2), |query| {
        number += 1;
        if number == 1 { Vec::new() } else { vec![answer(query)] }
    })
    .await;
    assert_eq!((&report.failure, report.lost, report.attempts.len()), (&None, 1, 2));
    let silent = against(Duration::from_millis(30), |_| Vec::new()).await;
    assert_eq!((kind(&silent), silent.lost), (Some(FailureKind::TimedOut), 2));
}

/// A server that answers queries with EDNS by a code, and others as it should, or not at all.
fn without_edns(code: u8, answers: bool) -> impl FnMut(&[u8]) -> Vec<Vec<u8>> {
    move |query| {
        let mut reply = answer(query);
        if has_edns(query) {
            // Neither a record nor its count.
            reply.truncate(reply.len() - 16);
            (reply[3], reply[7]) = (reply[3] & 0xf0 | code & 0x0f, 0);
            if code > 0x0f {
                reply[11] = 1;
                reply.extend_from_slice(&[0, 0, 41, 4, 0xd0, code >> 4, 0, 0, 0, 0, 0]);
            }
        } else if !answers {
            return Vec::new();
        }
        vec![reply]
    }
}

#[tokio::test]
async fn a_server_that_does_not_take_edns_is_asked_once_more_without_and_that_is_said() {
    for code in [ResponseCode::FORMERR, ResponseCode::NOTIMP, ResponseCode::BADVERS] {
        let report = against(LONG, without_edns(code.0 as u8, true)).await;
        assert_eq!((&report.failure, report.lost), (&None, 0), "{code}: {report:?}");
        assert_eq!(
            (report.edns_refused, report.response_code),
            (Some(code), Some(ResponseCode::NOERROR))
        );
        let asked: Vec<_> = report
            .attempts
            .iter()
            .map(|attempt| (attempt.edns, attempt.response_code))
            .collect();
        assert_eq!(asked, [(true, Some(code)), (false, Some(ResponseCode::NOERROR))]);
        assert_eq!(report.answers[0].data, "192.0.2.7");
    }
    // What is lost after it is lost, and each attempt begins as the first.
    let report = against(Duration::from_millis(500), without_edns(1, false)).await;
    assert_eq!(
        (kind(&report), report.lost),
        (Some(FailureKind::TimedOut), 2),
        "{report:?}"
    );
    let asked: Vec<_> = report.attempts.iter().map(|attempt| attempt.edns).collect();
    assert_eq!(asked, [true, false, true, false]);
    let detail = report.failure.unwrap().detail;
    assert!(
        detail.contains("answered FORMERR to a query with EDNS, and without:"),
        "{detail}"
    );
    // A server that says so to every query says so at the end.
    let report = against(LONG, |query| {
        let mut reply = answer(query);
        reply[3] |= 1;
        vec![reply]
    })
    .await;
    assert_eq!(report.response_code, Some(ResponseCode::FORMERR), "{report:?}");
    assert!(report.failure.is_some());
}

#[tokio::test]
async fn each_query_has_another_id_and_port() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options = DnsOptions {
        attempts: 4,
        ..options(server.local_addr().unwrap(), RecordType::A)
    };
    let serve = async {
        let mut seen = Vec::new();
        let mut buffer = [0; 512];
        while seen.len() < 4 {
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            seen.push(([buffer[0], buffer[1]], from.port()));
            let mut failed = answer(&buffer[..length]);
            failed[3] |= 2;
            server.send_to(&failed, from).await.unwrap();
        }
        seen
    };
    let (report, seen) = tokio::join!(dns::check("a.test", &options), serve);
    assert_eq!(kind(&report), Some(FailureKind::NameServer));
    assert!(
        report
            .attempts
            .iter()
            .all(|attempt| attempt.response_code == Some(ResponseCode(2)))
    );
    // By chance two of four ids are the same once in ten thousand runs; all four never are.
    assert!(seen.iter().any(|(id, _)| *id != seen[0].0), "{seen:?}");
    assert!(seen.iter().any(|(_, port)| *port != seen[0].1), "{seen:?}");
}

#[tokio::test]
async fn a_longer_datagram_than_was_asked_for_is_a_failure() {
    let report = against(LONG, |query| vec![[answer(query), vec![0; 1300]].concat()]).await;
    assert_eq!(kind(&report), Some(FailureKind::TooLarge));
    assert!(report.attempts[0].size.unwrap() > 1300);
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    // The port is ours; nobody listens at it over TCP, and over UDP its socket takes datagrams of nobody but itself.
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(at).await.unwrap();
    udp.connect(at).await.unwrap();
    for transport in [Transport::Udp, Transport::Tcp] {
        let report = dns::check(
            "a.test",
            &DnsOptions {
                transport,
                ..options(at, RecordType::A)
            },
        )
        .await;
        assert_eq!(kind(&report), Some(FailureKind::Refused), "{report:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_is_cut_over_tcp_too_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let over_tcp = DnsOptions {
        transport: Transport::Tcp,
        ..options(at, RecordType::A)
    };
    let hang_up = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut query).await.unwrap();
        stream.write_all(&[0, 100, 1]).await.unwrap();
    };
    let (report, ()) = tokio::join!(dns::check("a.test", &over_tcp), hang_up);
    assert_eq!(kind(&report), Some(FailureKind::Closed), "{report:?}");
    let cut = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut query).await.unwrap();
        let mut reply = answer(&query);
        reply[2] |= 2;
        for reply in [vec![0x55; 20], reply] {
            stream.write_all(&(reply.len() as u16).to_be_bytes()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    };
    let (report, ()) = tokio::join!(dns::check("a.test", &over_tcp), cut);
    assert_eq!(
        (kind(&report), report.foreign),
        (Some(FailureKind::Protocol), 1),
        "{report:?}"
    );
}
