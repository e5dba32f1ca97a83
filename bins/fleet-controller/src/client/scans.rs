//! `fleet-controller scans`.
use super::{
    Rows,
    agents::time,
    block_on,
    columns::Columns,
    detections::{USUAL, address, choice, labels},
    explain, for_each, print_one, session,
};
use crate::{
    cli::Output,
    cli_malware::{ListScansArgs, ScansArgs, ScansCommand},
};
use chrono::Utc;
use core_model::ByteSize;
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{MalwareScanView, ScanQuery};
use fleet_wire::ScanScope;
use std::fmt::Write as _;
use transport_http::Client;

pub(crate) fn scans(output: Output, args: &ScansArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    match &args.command {
        None => list(&client, output, &args.list),
        Some(ScansCommand::List(args)) => list(&client, output, args),
        Some(ScansCommand::Show(args)) => {
            let path = address("scans", args, "")?;
            let shown: MalwareScanView = block_on(async { client.get_json(&path).await.map_err(explain) })?;
            print_one(output, &shown, detail)?;
            Ok(Exit::Done)
        }
    }
}

fn list(client: &Client, output: Output, args: &ListScansArgs) -> anyhow::Result<Exit> {
    let query = ScanQuery {
        agent: args.whose.agent.clone(),
        site: args.whose.site.clone(),
        labels: labels(&args.whose),
        group: args.whose.group.clone(),
        revoked: args.whose.all.then_some(true),
        rule: args.rule.clone(),
        status: args.status.and_then(|status| choice(&status)),
        since: args.since.map(|since| since.from(Utc::now())),
        ..ScanQuery::default()
    };
    let set = |query: &mut ScanQuery, cursor, limit| {
        query.cursor = cursor;
        query.limit = Some(limit);
    };
    let mut rows = Rows::new(output, Columns::new(&HEADINGS, &[6, 7, 8], cells));
    let limit = args.limit.unwrap_or(USUAL);
    let each = |scan: MalwareScanView| rows.print(&scan);
    block_on(for_each(client, "/api/v1/scans", query, limit, set, each))?;
    rows.end::<MalwareScanView>()?;
    Ok(Exit::Done)
}

const HEADINGS: [&str; 9] = [
    "ENDED",
    "STATUS",
    "ID",
    "AGENT",
    "RULE",
    "SCOPE",
    "FILES",
    "SIZE",
    "DETECTIONS",
];

fn cells(view: &MalwareScanView) -> Vec<String> {
    let scan = &view.scan;
    vec![
        time(&scan.ended_at),
        scan.status.name().to_owned(),
        scan.id.to_string(),
        printable(view.agent.as_bytes()).into_owned(),
        printable(scan.rule.as_bytes()).into_owned(),
        scan.proof.scope.map_or("not told", ScanScope::name).to_owned(),
        scan.met.files.to_string(),
        ByteSize::new(scan.met.bytes).human(),
        scan.detections.to_string(),
    ]
}

fn detail(view: &MalwareScanView) -> String {
    let scan = &view.scan;
    let mut text = String::new();
    let plain = |text: &str| printable(text.as_bytes()).into_owned();
    let agent = ("agent", format!("{} ({})", view.agent, view.agent_id));
    let arrived = ("arrived", time(&view.received_at));
    for (name, value) in [agent, arrived].into_iter().chain(scan.lines()) {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {}", plain(&value));
    }
    let mut table = Table::new(&["END", "FILES", "SIZE"]).right(1).right(2);
    for (end, count) in &scan.account {
        table.row([plain(end), count.files.to_string(), ByteSize::new(count.bytes).human()]);
    }
    let _ = write!(text, "\n{table}");
    text
}
