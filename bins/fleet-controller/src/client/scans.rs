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
    let mut rows = Rows::new(output, Columns::new(&HEADINGS, &[5, 6, 7], cells));
    let limit = args.limit.unwrap_or(USUAL);
    let each = |scan: MalwareScanView| rows.print(&scan);
    block_on(for_each(client, "/api/v1/scans", query, limit, set, each))?;
    rows.end::<MalwareScanView>()?;
    Ok(Exit::Done)
}

const HEADINGS: [&str; 8] = ["ENDED", "STATUS", "ID", "AGENT", "RULE", "FILES", "SIZE", "DETECTIONS"];

fn cells(view: &MalwareScanView) -> Vec<String> {
    let scan = &view.scan;
    vec![
        time(&scan.ended_at),
        scan.status.name().to_owned(),
        scan.id.to_string(),
        printable(view.agent.as_bytes()).into_owned(),
        printable(scan.rule.as_bytes()).into_owned(),
        scan.met.files.to_string(),
        ByteSize::new(scan.met.bytes).human(),
        scan.detections.to_string(),
    ]
}

fn detail(view: &MalwareScanView) -> String {
    let scan = &view.scan;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {value}");
    };
    let plain = |text: &str| printable(text.as_bytes()).into_owned();
    line("id", scan.id.to_string());
    line("agent", format!("{} ({})", plain(&view.agent), view.agent_id));
    line("rule", plain(&scan.rule));
    line("cause", scan.cause.name().to_owned());
    line("began", time(&scan.started_at));
    line("ended", time(&scan.ended_at));
    line("status", scan.status.name().to_owned());
    if let Some(error) = &scan.error {
        line("because", plain(error));
    }
    if let Some(engine) = &scan.engine {
        line("engine", plain(engine));
    }
    line("detections", scan.detections.to_string());
    line(
        "met",
        format!("{} files ({})", scan.met.files, ByteSize::new(scan.met.bytes).human()),
    );
    if scan.unaccounted != 0 {
        let count = scan.unaccounted;
        line(
            "unaccounted",
            format!("{count} files ended in no way: the agent has a fault"),
        );
    }
    let mut table = Table::new(&["END", "FILES", "SIZE"]).right(1).right(2);
    for (end, count) in &scan.account {
        table.row([plain(end), count.files.to_string(), ByteSize::new(count.bytes).human()]);
    }
    let _ = write!(text, "\n{table}");
    text
}
