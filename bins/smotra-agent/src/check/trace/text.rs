//! A trace as people read it.
use super::{
    super::show::{doubted, failed, millis, percent},
    Traced,
};
use daemon_kit::Table;
use netcheck::{
    Failure, FailureKind,
    trace::{Hop, MtuLimit, Protocol, Router, TraceReport},
};

/// A target as people read it: a heading, a table of its hops, and what else there is to say.
pub(super) fn text(target: &str, traced: &Traced, is_named: bool) -> String {
    let report = match traced {
        Ok(report) => report,
        Err(failure) => return failed(target, failure),
    };
    let (address, by) = (report.address, by(report.protocol));
    let how = match report.hops.last() {
        // Nearer hops were not probed.
        Some(last) if report.reached && report.hops.len() == 1 && last.hop > 1 => {
            format!("reached at hop {} or before", last.hop)
        }
        Some(last) if report.reached => format!("reached at hop {}", last.hop),
        _ => "not reached".to_owned(),
    };
    let mut text = format!("{target} ({address}) by {by}: {how}\n");
    if !report.hops.is_empty() {
        text += &table(&report.hops, is_named).to_string();
    }
    text += &labels(report);
    text += &paths(report);
    text += &limited(target, report);
    text.extend(
        report
            .unsent
            .as_ref()
            .map(|failure| format!("{target}: not all flows were sent: {failure}; {}\n", failure.remedy())),
    );
    text += &path_mtu(target, report);
    text.extend(report.failure.as_ref().map(|failure| ended(target, failure)));
    text + &doubted(target, report.trust.doubts())
}

/// Why the target was not reached. Who is told to trace it elsewhere has done that here.
pub(super) fn ended(target: &str, failure: &Failure) -> String {
    let remedy = match failure.kind {
        FailureKind::Unreachable => "ask whoever runs the routers that are named, or look at this machine's own link",
        FailureKind::TimedOut => {
            "see what is behind the last hop that was heard, if one was: a firewall may drop such probes (try --protocol tcp with the \
             port of the service), a link may be down, or the target"
        }
        kind => kind.remedy(),
    };
    format!("{target}: {}: {failure}; {remedy}\n", failure.kind)
}

fn by(protocol: Protocol) -> String {
    match protocol {
        Protocol::Icmp => "ICMP".to_owned(),
        Protocol::Udp { port } => format!("UDP, port {port}"),
        Protocol::Tcp { port } => format!("TCP, port {port}"),
    }
}

fn table(hops: &[Hop], has_names: bool) -> Table {
    let mut headings = vec!["HOP", "ADDRESS"];
    headings.extend(has_names.then_some("NAME"));
    headings.extend(["SENT", "SILENT", "LOSS", "MIN", "AVG", "MAX", "JITTER"]);
    let mut table = (0..headings.len())
        .filter(|at| *at != 1 && !(has_names && *at == 2))
        .fold(Table::new(&headings), Table::right);
    for hop in hops {
        let numbers = || [hop.sent.to_string(), percent(hop.silence), percent(hop.loss)];
        let dashes = || ["-"; 4].map(str::to_owned);
        if hop.routers.is_empty() {
            let name = has_names.then(|| "-".to_owned());
            let start = [hop.hop.to_string(), "*".to_owned()];
            table.row(start.into_iter().chain(name).chain(numbers()).chain(dashes()));
        }
        for (at, router) in hop.routers.iter().enumerate() {
            let is_first = at == 0;
            let start = [if is_first { hop.hop.to_string() } else { String::new() }, who(router)];
            let name = has_names.then(|| router.name.clone().unwrap_or_else(|| "-".to_owned()));
            let numbers = if is_first {
                numbers()
            } else {
                [router.answered.to_string(), String::new(), String::new()]
            };
            table.row(start.into_iter().chain(name).chain(numbers).chain(times(router)));
        }
    }
    table
}

/// Its address, and what it said if that is not as it should be.
fn who(router: &Router) -> String {
    match router.said {
        Some(reason) => format!("{} ({})", router.address, reason.words()),
        None => router.address.to_string(),
    }
}

fn times(router: &Router) -> [String; 4] {
    let times = router.times;
    [
        millis(times.map(|times| times.min)),
        millis(times.map(|times| times.avg)),
        millis(times.map(|times| times.max)),
        millis(router.jitter),
    ]
}

/// By UDP a host answers by errors, of which it sends few; so does who refuses, whatever was sent.
fn limited(target: &str, report: &TraceReport) -> String {
    let Some(hop) = report.hops.iter().find(|hop| hop.loss_is_upper_bound) else {
        return String::new();
    };
    if !report.reached {
        let hop = hop.hop;
        return format!(
            "{target}: at hop {hop}, LOSS is the most that there can be: who refuses says so only so often (Linux six times at once, and then \
             once a second)\n"
        );
    }
    format!(
        "{target}: by UDP, LOSS is the most that there can be: hosts say only so often that a port is closed (Linux six times at once, and then \
         once a second); measure it by ICMP, or by one flow with --interval 1s\n"
    )
}

fn labels(report: &TraceReport) -> String {
    let routers = report
        .hops
        .iter()
        .flat_map(|hop| hop.routers.iter().map(move |router| (hop.hop, router)));
    let labelled = routers
        .filter(|(_, router)| !router.mpls.is_empty())
        .map(|(hop, router)| {
            let labels: Vec<String> = router.mpls.iter().map(|label| label.label.to_string()).collect();
            format!("hop {hop}, {}: MPLS labels {}\n", router.address, labels.join(" "))
        });
    labelled.collect()
}

/// The ways, if there are several.
fn paths(report: &TraceReport) -> String {
    if report.paths.len() < 2 {
        return String::new();
    }
    let lines = report.paths.iter().enumerate().map(|(number, path)| {
        let routers: Vec<String> = path
            .routers
            .iter()
            .map(|router| router.map_or_else(|| "*".to_owned(), |router| router.to_string()))
            .collect();
        let (number, flows, loss) = (number + 1, path.flows.len(), percent(path.loss));
        format!(
            "way {number}, flows {flows}, loss {loss} at its end: {}\n",
            routers.join(" ")
        )
    });
    lines.collect()
}

fn path_mtu(target: &str, report: &TraceReport) -> String {
    let Some(found) = report.path_mtu else {
        return String::new();
    };
    let why = match found.limit {
        MtuLimit::Interface => "the longest that this machine's interface sends".to_owned(),
        MtuLimit::Router {
            address,
            hop: Some(hop),
        } => format!("longer ones are refused by {address}, at hop {hop}"),
        MtuLimit::Router { address, hop: None } => format!("longer ones are refused by {address}"),
        MtuLimit::BlackHole { behind, before } => {
            let from = behind.map_or_else(
                || "between this machine".to_owned(),
                |place| format!("between {}, at hop {}", place.address, place.hop),
            );
            format!(
                "longer ones vanish {from}, and {}, at hop {}: a black hole; lower the MTU there, or have the router before it say so",
                before.address, before.hop
            )
        }
        MtuLimit::Unknown => "longer ones were not answered, but the target does not answer reliably".to_owned(),
    };
    format!("{target}: packets of {} bytes come through, {why}\n", found.bytes)
}
