//! One check: which servers are asked, how often, and what their answers come to.
use super::{
    DnsAttempt, DnsOptions, DnsOutcome, DnsReport, RecordType, Transport, exchange, expect,
    message::{self, Answer, Asked, Judged, Manner},
    resolv_conf::{self, PORT},
};
use crate::{Failure, FailureKind, Family, target::Target};
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
        let asked = Asked::new(query.clone(), manner)?;
        let mut judged = once(report, *server, options.transport, &asked, options).await;
        if let (Ok(Judged::Truncated), Transport::Udp) = (&judged, options.transport) {
            // Another id, as it is another query.
            let asked = Asked::new(query.clone(), manner)?;
            let over_tcp = once(report, *server, Transport::Tcp, &asked, options).await;
            judged = over_tcp.map_err(|failure| {
                let detail = format!("the answer does not fit into a datagram, and over TCP: {failure}");
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
    let Some(server) = &options.server else {
        return resolv_conf::system_servers();
    };
    let (host, port) = Target::with_port(server, Some(PORT))?;
    Ok(host.resolve(port, Family::Any, options.timeout).await?.addresses)
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
