//! `fleet-controller agents`.
use super::{PAGE, block_on, explain, for_each, print_one, session};
use crate::cli::{AgentsArgs, AgentsCommand, Output};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use core_model::ByteSize;
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{AgentDetailView, AgentQuery, AgentView, LinkView, RenameRequest, SnapshotView};
use fleet_core::{KeyStatus, SnapshotState};
use std::fmt::Write as _;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, Method, Request};

pub(crate) fn agents(output: Output, args: &AgentsArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    if let Some(AgentsCommand::Show { agent }) = &args.command {
        let path = format!("/api/v1/agents/{}", super::files::encoded(agent));
        let agent: AgentDetailView = block_on(async { client.get_json(&path).await.map_err(explain) })?;
        print_one(output, &agent, detail)?;
        return Ok(Exit::Done);
    }
    if let Some(AgentsCommand::Revoke { agent }) = &args.command {
        let path = format!("/api/v1/agents/{}", super::files::encoded(agent));
        block_on(async { client.delete(&path).await.map_err(explain) })?;
        eprintln!(
            "{} can no longer report; enrolling anew needs a join token",
            printable(agent.as_bytes())
        );
        return Ok(Exit::Done);
    }
    if let Some(AgentsCommand::Rename { agent, name }) = &args.command {
        let path = format!("/api/v1/agents/{}", super::files::encoded(agent));
        let body = serde_json::to_vec(&RenameRequest { name: name.clone() })?;
        let request = Request::new(Method::PATCH, path).with_body("application/json", body);
        block_on(async { client.send(request, &CancellationToken::new()).await.map_err(explain) })?;
        eprintln!("renamed; the agent hears so when it next connects");
        return Ok(Exit::Done);
    }
    if let Some(AgentsCommand::RotateKey { agents }) = &args.command {
        return rotate_keys(&client, agents);
    }
    if let Some(AgentsCommand::Remove { agent }) = &args.command {
        let path = format!("/api/v1/agents/{}?purge=true", super::files::encoded(agent));
        block_on(async { client.delete(&path).await.map_err(explain) })?;
        eprintln!("{} is removed with all that it told", printable(agent.as_bytes()));
        return Ok(Exit::Done);
    }
    let status = args
        .status
        .as_ref()
        .map(|status| serde_json::from_value(status.as_str().into()));
    let query = AgentQuery {
        kind: args.kind.clone(),
        status: status
            .transpose()
            .context("--status takes online, offline or degraded")?,
        ..AgentQuery::default()
    };
    let mut agents: Vec<AgentView> = Vec::new();
    let set = |query: &mut AgentQuery, cursor, limit: usize| {
        query.cursor = cursor;
        query.limit = Some(limit.min(PAGE));
    };
    block_on(for_each(&client, "/api/v1/agents", query, 0, set, |agent| {
        agents.push(agent);
        Ok(true)
    }))?;
    match output {
        Output::Jsonl => {
            for agent in &agents {
                print_one(output, agent, |_| String::new())?;
            }
        }
        _ => print_one(output, &agents, |agents| table(agents))?,
    }
    Ok(Exit::Done)
}

/// Asks each; one that cannot be asked keeps none of the others from it.
fn rotate_keys(client: &Client, agents: &[String]) -> anyhow::Result<Exit> {
    let mut failed = 0;
    for agent in agents {
        let path = format!("/api/v1/agents/{}/rotate-key", super::files::encoded(agent));
        let request = Request::new(Method::POST, path).repeatable();
        let asked = block_on(async { client.send(request, &CancellationToken::new()).await.map_err(explain) });
        let agent = printable(agent.as_bytes());
        match asked {
            Ok(_) => eprintln!("{agent} is asked for another key; `agents show` says when it has taken it"),
            Err(error) => {
                failed += 1;
                eprintln!("{agent}: {error:#}");
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} agents were not asked", agents.len());
    Ok(Exit::Done)
}

fn table(agents: &[AgentView]) -> String {
    let mut table = Table::new(&[
        "NAME",
        "KIND",
        "STATUS",
        "FILES",
        "SIZE",
        "OWED",
        "LAST SEEN",
        "VERSION",
        "HOST",
    ])
    .right(3)
    .right(4)
    .right(5);
    for agent in agents {
        let owed = agent.health.as_ref().and_then(|health| health.outbox_records);
        table.row([
            printable(agent.name.as_bytes()).into_owned(),
            agent.kind.clone(),
            word(&agent.status),
            agent.files.present.to_string(),
            ByteSize::new(agent.files.bytes).human(),
            owed.map(|owed| owed.to_string()).unwrap_or_default(),
            agent.last_seen.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            printable(agent.version.as_bytes()).into_owned(),
            printable(agent.hostname.as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}

fn key(key: Option<&KeyStatus>) -> String {
    let Some(key) = key else {
        return "none: its certificate proves it".to_owned();
    };
    let made = format!("since {}", time(&key.made_at));
    match (&key.renewal_asked_at, key.is_renewal_pending) {
        (_, true) => format!("{made}; another one was handed out and not used yet"),
        (Some(asked), false) => format!("{made}; another one was asked for at {}", time(asked)),
        (None, false) => made,
    }
}

pub(super) fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).ok();
    json.and_then(|json| json.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn detail(view: &AgentDetailView) -> String {
    let agent = &view.agent;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {value}");
    };
    line("name", printable(agent.name.as_bytes()).into_owned());
    line("id", agent.id.to_string());
    line("kind", agent.kind.clone());
    line("status", word(&agent.status));
    line("host", printable(agent.hostname.as_bytes()).into_owned());
    line("version", printable(agent.version.as_bytes()).into_owned());
    line("enrolled", time(&agent.enrolled_at));
    line("last seen", time(&agent.last_seen));
    line("key", key(view.key.as_ref()));
    line(
        "files",
        format!(
            "{} ({}), {} deleted",
            agent.files.present,
            ByteSize::new(agent.files.bytes).human(),
            agent.files.deleted
        ),
    );
    if let Some(health) = &agent.health {
        if let Some(owed) = health.outbox_records {
            line("owed", format!("{owed} records wait at the agent"));
        }
        let lost = health.outbox_dropped.unwrap_or(0) + health.outbox_damaged.unwrap_or(0);
        if lost > 0 {
            line(
                "lost",
                format!(
                    "{} records given up and {} damaged at the agent, ever; a snapshot made up for them",
                    health.outbox_dropped.unwrap_or(0),
                    health.outbox_damaged.unwrap_or(0)
                ),
            );
        }
    }
    link_lines(&view.link, &mut line);
    for stream in &view.streams {
        let gaps: Vec<String> = stream
            .gaps
            .iter()
            .map(|gap| format!("{}-{}", gap.first, gap.last))
            .collect();
        let gaps = if gaps.is_empty() {
            "no gaps".to_owned()
        } else {
            format!("missing {}", gaps.join(", "))
        };
        line(
            "stream",
            format!("{} through {}, {gaps}", stream.stream, stream.last_seq),
        );
        if let Some(at) = &stream.closed_at {
            let at = time(at);
            line(
                "",
                format!("closed at {at}: the controller went back in time, and asks the agent for a snapshot"),
            );
        }
        if let Some(snapshot) = &stream.snapshot {
            line("snapshot", snapshot_line(snapshot));
        }
    }
    text
}

fn link_lines(link: &LinkView, line: &mut impl FnMut(&str, String)) {
    if let Some(session) = &link.session {
        let how = word(&session.transport);
        let text = match &session.ended_at {
            Some(at) => format!("{how} from {}, ended at {}", session.remote, time(at)),
            None => format!("{how} from {} since {}", session.remote, time(&session.connected_at)),
        };
        line("link", printable(text.as_bytes()).into_owned());
    }
    if let Some(clone) = &link.clone {
        let (host, from) = (printable(clone.hostname.as_bytes()), printable(clone.remote.as_bytes()));
        line(
            "cloned",
            format!(
                "a copy on {host} ({from}) was refused {} times, last at {}: remove its credentials there and enrol it anew",
                clone.refusals,
                time(&clone.last_at)
            ),
        );
    }
    if let Some(verbs) = &link.verbs {
        line("takes", printable(verbs.join(", ").as_bytes()).into_owned());
    }
    if link.open_commands > 0 {
        line("commands", format!("{} have not ended", link.open_commands));
    }
    if link.config_version > 0 {
        line("config", format!("version {}", link.config_version));
    }
}

fn snapshot_line(snapshot: &SnapshotView) -> String {
    let since = time(&snapshot.begun_at);
    let state = match (snapshot.state, &snapshot.complete_at) {
        (SnapshotState::Complete, Some(at)) => format!("complete at {}", time(at)),
        (SnapshotState::Complete, None) => "complete".to_owned(),
        (SnapshotState::Open, _) => format!("open since {since}"),
        (SnapshotState::Dropping, _) => format!("open since {since}, dropping what it did not name"),
        (SnapshotState::Superseded, _) => format!("begun at {since}, given up for a newer stream"),
    };
    let mut text = format!("{state}, {} dropped: {}", snapshot.dropped, snapshot.reason);
    if !snapshot.detail.is_empty() {
        // Writing to memory cannot fail.
        let _ = write!(text, " ({})", printable(snapshot.detail.as_bytes()));
    }
    text
}

pub(super) fn time(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
