//! One check: which servers are asked, how often, and what their answers come to.
use super::{
    DnsAttempt, DnsOptions, DnsOutcome, DnsReport, RecordType, ResponseCode, Transport, exchange, expect,
    message::{self, Answer, Asked, Judged, Manner},
    resolv_conf::{self, PORT},
};
use crate::{Failure, FailureKind, source::Way, target::Target};
use hickory_proto::{
    op::Query,
    rr::{self, Name},
};
use std::{
    mem,
    net::{IpAddr, SocketAddr},
};
use tokio::time::Instant;

/// No more addresses of a name server are asked that is given by its name.
const MOST_ADDRESSES: usize = 8;

pub(super) async fn run(report: &mut DnsReport, options: &DnsOptions) -> Result<(), Failure> {
    options.check()?;
    let query = Query::query(
        name(&report.name, options.record_type)?,
        rr::RecordType::from(options.record_type.0),
    );
    let servers = servers(options).await?;
    ask(report, &servers, &query, options).await
}

/// Asks the servers in turn until one knows, and then all of them again, as often as each is to be asked.
async fn ask(
    report: &mut DnsReport,
    servers: &[SocketAddr],
    query: &Query,
    options: &DnsOptions,
) -> Result<(), Failure> {
    let manner = Manner {
        recursion: options.recursion,
        dnssec: options.dnssec,
        edns: options.edns,
    };
    let mut last = None;
    let turns = servers.len() * options.attempts as usize;
    for server in servers.iter().cycle().take(turns) {
        let mut judged = attempt(report, *server, query, manner, options).await;
        if manner.edns.is_some()
            && let Ok(Judged::Answer(answer)) = &judged
            && is_about_edns(answer.code, options)
        {
            let code = answer.code;
            let plain = Manner { edns: None, ..manner };
            judged = attempt(report, *server, query, plain, options)
                .await
                .map_err(|failure| {
                    let detail = format!("{server} answered {code} to a query with EDNS, and without: {failure}");
                    Failure::new(failure.kind, detail)
                });
            report.edns_refused = Some(code);
        }
        let failure = match judged {
            Ok(Judged::Answer(answer)) => {
                let is_known = is_known(answer.code, options);
                let met = options
                    .expect
                    .judge(query.name(), options.record_type, *server, &answer);
                fill(report, *answer, options);
                match met {
                    Ok(()) => return Ok(()),
                    Err(failure) if is_known => return Err(failure),
                    // The next server may know, or this one a moment later.
                    Err(failure) => failure,
                }
            }
            Ok(Judged::Truncated | Judged::Foreign) => {
                let detail = format!("{server} says that its answer does not fit into a connection either");
                Failure::new(FailureKind::Protocol, detail)
            }
            Err(failure) if failure.kind.is_own() => return Err(failure),
            Err(failure) => failure,
        };
        last = Some(failure);
    }
    Err(last.unwrap_or_else(|| Failure::new(FailureKind::Invalid, "no name server was asked")))
}

/// Whether an answer may be about the EDNS of the query alone: so say servers that do not know it (RFC 6891, section 7), or
/// not this version of it.
fn is_about_edns(code: ResponseCode, options: &DnsOptions) -> bool {
    let codes = [ResponseCode::FORMERR, ResponseCode::NOTIMP, ResponseCode::BADVERS];
    codes.contains(&code) && options.expect.response_code != code
}

/// Whether a server that answers so knows what there is, or says what it was expected to say; resolvers ask the next one otherwise.
fn is_known(code: ResponseCode, options: &DnsOptions) -> bool {
    code.is_knowing() || options.expect.response_code == code
}

/// One attempt, of which alone the report tells then: over TCP, too, where the answer does not fit into a datagram.
async fn attempt(
    report: &mut DnsReport,
    server: SocketAddr,
    query: &Query,
    manner: Manner,
    options: &DnsOptions,
) -> Result<Judged, Failure> {
    // What an attempt before came to must not stand beside the failure of this one.
    *report = DnsReport {
        server: Some(server),
        lost: report.lost,
        foreign: report.foreign,
        attempts: mem::take(&mut report.attempts),
        ..DnsReport::new(&report.name, report.record_type)
    };
    let asked = Asked::new(query.clone(), manner)?;
    let judged = once(report, server, options.transport, &asked, options).await;
    if !matches!((&judged, options.transport), (Ok(Judged::Truncated), Transport::Udp)) {
        return judged;
    }
    // Another id, as it is another query.
    let asked = Asked::new(query.clone(), manner)?;
    let over_tcp = once(report, server, Transport::Tcp, &asked, options).await;
    over_tcp.map_err(|failure| {
        let detail = format!("the answer does not fit into a datagram, and over TCP: {failure}");
        Failure::new(failure.kind, detail)
    })
}

/// One exchange, noted down with what became of it.
async fn once(
    report: &mut DnsReport,
    server: SocketAddr,
    transport: Transport,
    asked: &Asked,
    options: &DnsOptions,
) -> Result<Judged, Failure> {
    let begun = Instant::now();
    let deadline = begun + options.timeout;
    let exchanged = match transport {
        Transport::Udp => exchange::udp(server, asked, options, deadline).await,
        Transport::Tcp => exchange::tcp(server, asked, options, deadline).await,
    };
    let took = begun.elapsed();
    report.foreign += exchanged.foreign;
    let (outcome, response_code, failure) = match &exchanged.judged {
        Ok(Judged::Answer(answer)) => (DnsOutcome::Answered, Some(answer.code), None),
        Ok(Judged::Truncated | Judged::Foreign) => (DnsOutcome::Truncated, None, None),
        Err(failure) => (DnsOutcome::Failed, None, Some(failure.clone())),
    };
    if failure
        .as_ref()
        .is_some_and(|failure| failure.kind == FailureKind::TimedOut)
    {
        report.lost += 1;
    }
    if outcome == DnsOutcome::Answered {
        report.transport = Some(transport);
        report.time = Some(took);
        report.size = exchanged.size;
    }
    report.attempts.push(DnsAttempt {
        server,
        transport,
        edns: asked.edns.is_some(),
        took,
        size: exchanged.size,
        outcome,
        response_code,
        failure,
    });
    exchanged.judged
}

fn fill(report: &mut DnsReport, answer: Answer, options: &DnsOptions) {
    report.response_code = Some(answer.code);
    report.flags = Some(answer.flags);
    report.serial = expect::serial(&answer);
    report.answer_count = answer.records.len();
    report.authority_count = answer.authorities.len();
    report.additional_count = answer.additionals;
    report.answers = answer.records;
    report.answers.truncate(options.max_answers);
}

async fn servers(options: &DnsOptions) -> Result<Vec<SocketAddr>, Failure> {
    let DnsOptions { family, source, .. } = *options;
    let Some(server) = &options.server else {
        let mut servers = resolv_conf::system_servers()?;
        let is_same = |server: &SocketAddr| source.is_none_or(|source| source.is_ipv4() == server.is_ipv4());
        servers.retain(|server| family.has(server.ip()) && is_same(server));
        let none = || {
            let detail = "no name server of this machine can be asked by the family that was named, or from the source: name one";
            Failure::new(FailureKind::Invalid, detail)
        };
        return Some(servers).filter(|servers| !servers.is_empty()).ok_or_else(none);
    };
    let (host, port) = Target::with_port(server, Some(PORT))?;
    let resolved = Way { family, source }.resolve(host, port, options.timeout).await;
    let mut resolved = resolved.map_err(|failure| match failure.kind {
        // Both are about the name of the server, and not about the one that was to be asked about.
        FailureKind::NameNotFound | FailureKind::NameServer => {
            let detail = format!("the name server cannot be asked: {failure}");
            Failure::new(FailureKind::NameServer, detail)
        }
        _ => failure,
    })?;
    resolved.addresses.truncate(MOST_ADDRESSES);
    Ok(resolved.addresses)
}

fn name(text: &str, record_type: RecordType) -> Result<Name, Failure> {
    match text.parse::<IpAddr>() {
        Ok(address) if record_type == RecordType::PTR => {
            let mut name = Name::from(address);
            name.set_fqdn(true);
            Ok(name)
        }
        _ => message::parse_name(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{net::UdpSocket, task::JoinSet};

    /// A server that answers each query by this code, or not at all; with an address where that is NOERROR.
    async fn server(serving: &mut JoinSet<()>, code: Option<ResponseCode>) -> SocketAddr {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        serving.spawn(async move {
            let mut query = [0; 512];
            loop {
                let (length, from) = server.recv_from(&mut query).await.unwrap();
                let Some(code) = code else { continue };
                let mut reply = query[..length].to_vec();
                (reply[2], reply[3]) = (0x81, 0x80 | code.0 as u8);
                if code == ResponseCode::NOERROR {
                    reply[7] = 1;
                    reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
                }
                server.send_to(&reply, from).await.unwrap();
            }
        });
        at
    }

    async fn asked(servers: &[SocketAddr], options: &DnsOptions) -> DnsReport {
        let mut report = DnsReport::new("a.test", options.record_type);
        let query = Query::query(message::parse_name("a.test").unwrap(), rr::RecordType::A);
        report.failure = ask(&mut report, servers, &query, options).await.err();
        report
    }

    fn options(attempts: u32, expected: ResponseCode) -> DnsOptions {
        DnsOptions {
            attempts,
            timeout: Duration::from_secs(60),
            edns: None,
            expect: expect::DnsExpect {
                response_code: expected,
                ..expect::DnsExpect::default()
            },
            ..DnsOptions::default()
        }
    }

    fn whom(report: &DnsReport) -> Vec<SocketAddr> {
        report.attempts.iter().map(|attempt| attempt.server).collect()
    }

    #[tokio::test]
    async fn what_is_told_is_of_the_server_that_was_asked_last() {
        let mut serving = JoinSet::new();
        let failing = server(&mut serving, Some(ResponseCode::SERVFAIL)).await;
        let servers = [failing, server(&mut serving, None).await];
        let short = DnsOptions {
            timeout: Duration::from_secs(1),
            ..options(2, ResponseCode::NOERROR)
        };
        let report = asked(&servers, &short).await;
        assert_eq!(whom(&report), [servers, servers].concat());
        let failure = report.failure.as_ref().unwrap();
        assert_eq!((failure.kind, report.lost), (FailureKind::TimedOut, 2), "{report:?}");
        assert!(failure.detail.contains(&servers[1].to_string()), "{failure}");
        assert_eq!(report.server, Some(servers[1]));
        let rest = (report.response_code, report.flags, report.transport);
        assert_eq!((rest, report.time, report.size), ((None, None, None), None, None));
        let codes: Vec<_> = report.attempts.iter().map(|attempt| attempt.response_code).collect();
        assert_eq!(codes, [Some(ResponseCode::SERVFAIL), None].repeat(2));
    }

    #[tokio::test]
    async fn each_server_is_asked_in_turn_until_one_knows_or_says_what_was_expected() {
        let mut serving = JoinSet::new();
        let noerror = ResponseCode::NOERROR;
        let failing = server(&mut serving, Some(ResponseCode::SERVFAIL)).await;
        let refusing = server(&mut serving, Some(ResponseCode::REFUSED)).await;
        let denying = server(&mut serving, Some(ResponseCode::NXDOMAIN)).await;
        let knowing = server(&mut serving, Some(noerror)).await;
        for (servers, attempts, expected, told, kind) in [
            ([failing, refusing], 2, noerror, 4, Some(FailureKind::NameServer)),
            ([failing, refusing], 1, noerror, 2, Some(FailureKind::NameServer)),
            ([failing, knowing], 1, noerror, 2, None),
            ([knowing, failing], 2, noerror, 1, None),
            // That there is no such name, the next need not be asked.
            ([denying, knowing], 2, noerror, 1, Some(FailureKind::NameNotFound)),
            ([refusing, knowing], 1, ResponseCode::REFUSED, 1, None),
            ([failing, denying], 1, ResponseCode::NXDOMAIN, 2, None),
        ] {
            let report = asked(&servers, &options(attempts, expected)).await;
            let order: Vec<_> = servers.into_iter().cycle().take(told).collect();
            assert_eq!(whom(&report), order, "{report:?}");
            let failed = report.failure.as_ref().map(|failure| failure.kind);
            assert_eq!((failed, report.lost), (kind, 0), "{report:?}");
            let last = report.attempts.last().unwrap();
            assert_eq!(report.server, Some(last.server));
            assert_eq!(
                (report.response_code, report.time),
                (last.response_code, Some(last.took))
            );
        }
    }
}
