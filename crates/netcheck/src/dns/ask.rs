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
use std::net::{IpAddr, SocketAddr};
use tokio::time::Instant;

pub(super) async fn run(report: &mut DnsReport, options: &DnsOptions) -> Result<(), Failure> {
    options.check()?;
    let query = Query::query(
        name(&report.name, options.record_type)?,
        rr::RecordType::from(options.record_type.0),
    );
    let servers = servers(options).await?;
    let manner = Manner {
        recursion: options.recursion,
        dnssec: options.dnssec,
        edns: options.edns,
    };
    let mut last = None;
    for server in servers.iter().cycle().take(options.attempts as usize) {
        let mut judged = attempt(report, *server, &query, manner, options).await;
        if manner.edns.is_some()
            && let Ok(Judged::Answer(answer)) = &judged
            && is_about_edns(answer.code, options)
        {
            let code = answer.code;
            report.edns_refused = Some(code);
            let plain = Manner { edns: None, ..manner };
            judged = attempt(report, *server, &query, plain, options)
                .await
                .map_err(|failure| {
                    let detail = format!("{server} answered {code} to a query with EDNS, and without: {failure}");
                    Failure::new(failure.kind, detail)
                });
        }
        let failure = match judged {
            Ok(Judged::Answer(answer)) => {
                let met = options
                    .expect
                    .judge(query.name(), options.record_type, *server, &answer);
                fill(report, *answer, options);
                match met {
                    Ok(()) => return Ok(()),
                    // The server, or the next, may know better a moment later.
                    Err(failure) if failure.kind == FailureKind::NameServer => failure,
                    Err(failure) => return Err(failure),
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

/// One attempt: over TCP, too, where the answer does not fit into a datagram.
async fn attempt(
    report: &mut DnsReport,
    server: SocketAddr,
    query: &Query,
    manner: Manner,
    options: &DnsOptions,
) -> Result<Judged, Failure> {
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
        report.server = Some(server);
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
    let resolved = resolved.map_err(|failure| match failure.kind {
        // The name that was not found is not the one that was to be asked about.
        FailureKind::NameNotFound => {
            let detail = format!("the name server cannot be asked: {failure}");
            Failure::new(FailureKind::NameServer, detail)
        }
        _ => failure,
    })?;
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
