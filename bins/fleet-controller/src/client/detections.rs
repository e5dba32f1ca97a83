//! `fleet-controller detections`.
use super::{
    Rows,
    agents::{time, word},
    block_on,
    columns::Columns,
    explain, files, for_each, print_one, session,
};
use crate::{
    cli::Output,
    cli_malware::{DetectionsArgs, DetectionsCommand, EventArgs, EventsArgs, ListDetectionsArgs, WhoseArgs},
};
use anyhow::ensure;
use chrono::Utc;
use clap::ValueEnum;
use core_model::ByteSize;
use daemon_kit::{Exit, printable};
use fleet_api::rest::{
    AcknowledgeRequest, DetectionDetailView, DetectionQuery, DetectionState, DetectionView, EventQuery,
};
use std::fmt::Write as _;
use transport_http::{Client, HeaderMap};

/// Rows shown when nobody says.
pub(super) const USUAL: usize = 100;

pub(crate) fn detections(output: Output, args: &DetectionsArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    match &args.command {
        None => list(&client, output, &args.list),
        Some(DetectionsCommand::List(args)) => list(&client, output, args),
        Some(DetectionsCommand::Show(args)) => {
            let path = address("detections", args, "")?;
            let shown: DetectionDetailView = block_on(async { client.get_json(&path).await.map_err(explain) })?;
            print_one(output, &shown, detail)?;
            Ok(Exit::Done)
        }
        Some(DetectionsCommand::Acknowledge { which, note }) => each(which, "is acknowledged", |path| {
            let request = AcknowledgeRequest { note: note.clone() };
            let _: DetectionDetailView = block_on(async {
                let done = client.post_json(path, &request, HeaderMap::new()).await;
                done.map_err(explain)
            })?;
            Ok(())
        }),
        Some(DetectionsCommand::Unacknowledge(which)) => each(which, "is not acknowledged any more", |path| {
            block_on(async { client.delete(path).await.map_err(explain) })
        }),
    }
}

fn list(client: &Client, output: Output, args: &ListDetectionsArgs) -> anyhow::Result<Exit> {
    let now = Utc::now();
    let acknowledged = match (args.acknowledged, args.unacknowledged) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let query = DetectionQuery {
        agent: args.whose.agent.clone(),
        site: args.whose.site.clone(),
        labels: labels(&args.whose),
        group: args.whose.group.clone(),
        revoked: args.whose.all.then_some(true),
        signature: args.signature.clone(),
        path: args.path.clone(),
        prefix: args.under.clone(),
        rule: args.rule.clone(),
        outcome: args.outcome.and_then(|outcome| choice(&outcome)),
        state: args.open.then_some(DetectionState::Open),
        acknowledged,
        since: args.since.map(|since| since.from(now)),
        until: args.until.map(|until| until.from(now)),
        ..DetectionQuery::default()
    };
    let set = |query: &mut DetectionQuery, cursor, limit| {
        query.cursor = cursor;
        query.limit = Some(limit);
    };
    let mut rows = Rows::new(output, Columns::new(&HEADINGS, &[], cells));
    let limit = args.limit.unwrap_or(USUAL);
    let each = |detection: DetectionView| rows.print(&detection);
    block_on(for_each(client, "/api/v1/detections", query, limit, set, each))?;
    rows.end::<DetectionView>()?;
    Ok(Exit::Done)
}

/// Does it to each; one that cannot be found keeps none of the others from it.
fn each(which: &EventsArgs, done: &str, act: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<Exit> {
    let mut failed = 0;
    for id in &which.ids {
        let event = EventArgs {
            id: id.clone(),
            agent: which.agent.clone(),
        };
        let shown = printable(id.as_bytes());
        match address("detections", &event, "/acknowledge").and_then(|path| act(&path)) {
            Ok(()) => eprintln!("{shown} {done}"),
            Err(error) => {
                failed += 1;
                eprintln!("{shown}: {error:#}");
            }
        }
    }
    ensure!(
        failed == 0,
        "{failed} of {} detections were not changed",
        which.ids.len()
    );
    Ok(Exit::Done)
}

/// Where an event, or something about it, is.
pub(super) fn address(events: &str, event: &EventArgs, about: &str) -> anyhow::Result<String> {
    let query = serde_urlencoded::to_string(EventQuery {
        agent: event.agent.clone(),
    })?;
    let mark = if query.is_empty() { "" } else { "?" };
    let id = files::encoded(&event.id);
    Ok(format!("/api/v1/{events}/{id}{about}{mark}{query}"))
}

/// Labels with commas between them.
pub(super) fn labels(whose: &WhoseArgs) -> Option<String> {
    let labels: Vec<String> = whose.labels.iter().map(ToString::to_string).collect();
    (!labels.is_empty()).then(|| labels.join(","))
}

/// An option's value as the wire has it.
pub(super) fn choice(value: &impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

const HEADINGS: [&str; 7] = ["FOUND", "OUTCOME", "ACK", "ID", "AGENT", "SIGNATURES", "PATH"];

fn cells(detection: &DetectionView) -> Vec<String> {
    let seen_to = if detection.acknowledged.is_some() { "ack" } else { "" };
    vec![
        time(&detection.time),
        detection.outcome.name().to_owned(),
        seen_to.to_owned(),
        detection.id.to_string(),
        printable(detection.agent.as_bytes()).into_owned(),
        signatures(detection),
        printable(detection.path.as_bytes()).into_owned(),
    ]
}

fn signatures(detection: &DetectionView) -> String {
    printable(detection.signatures.join(", ").as_bytes()).into_owned()
}

fn detail(shown: &DetectionDetailView) -> String {
    let detection = &shown.detection;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {value}");
    };
    let plain = |text: &str| printable(text.as_bytes()).into_owned();
    let because = |detail: &Option<String>| {
        let detail = detail.as_deref().filter(|detail| !detail.is_empty());
        detail.map(|detail| format!(": {}", plain(detail))).unwrap_or_default()
    };
    line("id", detection.id.to_string());
    line("agent", format!("{} ({})", plain(&detection.agent), detection.agent_id));
    line("path", printable(detection.path.as_bytes()).into_owned());
    line("signatures", signatures(detection));
    line(
        "found",
        format!("{}, rule {}", time(&detection.time), plain(&detection.rule)),
    );
    line("arrived", time(&detection.received_at));
    line("engine", plain(&detection.engine));
    if let Some(scan) = &detection.scan {
        line("scan", scan.to_string());
    }
    line("size", ByteSize::new(detection.size).human());
    if let Some(sha256) = &detection.sha256 {
        line("sha256", plain(sha256));
    }
    match (&detection.owner, detection.uid) {
        (Some(owner), Some(uid)) => line("owner", format!("{} ({uid})", plain(owner))),
        (Some(owner), None) => line("owner", plain(owner)),
        (None, Some(uid)) => line("owner", uid.to_string()),
        (None, None) => {}
    }
    line(
        "outcome",
        format!(
            "{} ({}) since {}{}",
            detection.outcome.name(),
            word(&detection.state),
            time(&detection.outcome_at),
            because(&detection.detail)
        ),
    );
    if let Some(id) = &detection.quarantine_id {
        line("quarantine", plain(id));
    }
    if let Some(word) = &detection.acknowledged {
        let note = because(&Some(word.note.clone()));
        line(
            "acknowledged",
            format!("{} by {}{note}", time(&word.at), plain(&word.by)),
        );
    }
    line("at once", shown.first_outcome.name().to_owned());
    for handling in &shown.handlings {
        let (path, detail) = (printable(handling.path.as_bytes()), because(&handling.detail));
        line(
            "then",
            format!("{} {} {path}{detail}", time(&handling.time), handling.outcome.name()),
        );
    }
    text
}
