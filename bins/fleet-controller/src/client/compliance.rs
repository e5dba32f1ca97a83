//! `fleet-controller compliance`: which hosts were scanned as they should be, and which were not.
use super::{Rows, agents::time, block_on, columns::Columns, detections::labels, for_each, session, still_read};
use crate::{cli::Output, cli_malware::ComplianceArgs};
use daemon_kit::{Exit, printable};
use fleet_api::rest::{ComplianceQuery, ComplianceView, ScanGist};
use fleet_wire::ScanStatus;
use std::io::{self, Write as _};
use transport_http::Client;

pub(crate) fn compliance(output: Output, args: &ComplianceArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let mut is_ok = true;
    let mut wanted = |view: &ComplianceView| {
        is_ok &= view.ok;
        !(args.failing && view.ok)
    };
    if args.csv {
        let mut out = io::BufWriter::new(io::stdout());
        let headings = HEADINGS.map(|heading| heading.to_lowercase().replace(' ', "_"));
        let mut is_read = still_read(out.write_all(&record(&headings)?))?;
        ask(&client, args, |view| {
            if is_read && wanted(&view) {
                is_read = still_read(out.write_all(&record(&values(&view))?))?;
            }
            Ok(is_read)
        })?;
        still_read(out.flush())?;
    } else {
        let mut rows = Rows::new(output, Columns::new(&HEADINGS, &[6, 7, 8, 9, 10, 11], cells));
        ask(
            &client,
            args,
            |view| {
                if wanted(&view) { rows.print(&view) } else { Ok(true) }
            },
        )?;
        rows.end::<ComplianceView>()?;
    }
    Ok(if is_ok { Exit::Done } else { Exit::Partial })
}

/// Gives every line to `each` until that wants no more.
fn ask(
    client: &Client,
    args: &ComplianceArgs,
    each: impl FnMut(ComplianceView) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let query = ComplianceQuery {
        within: Some(args.within),
        agent: args.whose.agent.clone(),
        site: args.whose.site.clone(),
        labels: labels(&args.whose),
        group: args.whose.group.clone(),
        rule: args.rule.clone(),
        ..ComplianceQuery::default()
    };
    let set = |query: &mut ComplianceQuery, cursor, limit| {
        query.cursor = cursor;
        query.limit = Some(limit);
    };
    block_on(for_each(client, "/api/v1/compliance", query, 0, set, each))
}

const HEADINGS: [&str; 14] = [
    "AGENT",
    "RULE",
    "VERDICT",
    "LAST COMPLETE",
    "SIGNATURES",
    "OLDEST VERDICT",
    "FILES",
    "LEFT OUT DIRS",
    "LEFT OUT FILES",
    "OVER LIMIT",
    "UNREADABLE DIRS",
    "UNREADABLE FILES",
    "LAST",
    "SCAN",
];

/// The values of a line, as they are.
fn values(view: &ComplianceView) -> [String; 14] {
    let scan = view.scan.as_ref();
    let count = |of: fn(&ScanGist) -> u64| scan.map(|scan| of(scan).to_string()).unwrap_or_default();
    let last = view.last_at.map(|at| {
        let status = view.last_status.map_or("", ScanStatus::name);
        format!("{} {status}", time(&at))
    });
    let oldest = scan.and_then(|scan| scan.oldest_verdict.as_ref());
    [
        view.agent.clone(),
        view.rule.clone().unwrap_or_default(),
        verdict(view),
        view.last_complete_at.map(|at| time(&at)).unwrap_or_default(),
        scan.map(signatures).unwrap_or_default(),
        oldest
            .map(|oldest| format!("{} until {}", oldest.signatures, time(&oldest.last_used)))
            .unwrap_or_default(),
        count(|scan| scan.files),
        count(|scan| scan.left_out_directories),
        count(|scan| scan.left_out_files),
        count(|scan| scan.over_limit),
        count(|scan| scan.unreadable_directories),
        count(|scan| scan.unreadable_files),
        last.unwrap_or_default(),
        scan.map(|scan| scan.id.to_string()).unwrap_or_default(),
    ]
}

fn cells(view: &ComplianceView) -> Vec<String> {
    let cells = values(view).map(|value| printable(value.as_bytes()).into_owned());
    cells.into()
}

fn verdict(view: &ComplianceView) -> String {
    match &view.reason {
        None => "OK".to_owned(),
        Some(reason) => format!("NOT OK: {}", words(reason)),
    }
}

/// A reason for people; one that this version does not know stands as it came.
fn words(reason: &str) -> &str {
    match reason {
        "no_scan" => "the agent has told of no rule and no scan",
        "never_scanned" => "never scanned as a whole",
        "too_old" => "the last complete scan is too old",
        "partial" => "the last whole scan could not look at everything",
        "stopped" => "the last whole scan was stopped",
        "failed" => "the last whole scan failed",
        "unaccounted" => "files of it ended in no way",
        other => other,
    }
}

fn signatures(scan: &ScanGist) -> String {
    match (&scan.signatures, &scan.engine) {
        (Some(signatures), _) => format!("{} of {}", signatures.number, signatures.made),
        (None, engine) => engine.clone().unwrap_or_default(),
    }
}

/// A line of comma-separated values.
fn record(values: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut line = csv::Writer::from_writer(Vec::new());
    line.write_record(values)?;
    Ok(line.into_inner()?)
}
