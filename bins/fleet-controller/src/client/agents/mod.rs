//! `fleet-controller agents`.
mod change;
mod show;

use super::{PAGE, block_on, explain, for_each, print_one, session};
use crate::{
    cli::Output,
    cli_agents::{AgentsArgs, AgentsCommand, ListAgentsArgs},
};
use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{ByteSize, Labels};
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{AgentDetailView, AgentQuery, AgentView, ConfigStateView};
use fleet_core::AgentStatus;
use transport_http::Client;

/// A second one with an agent's key is of interest for so long after it was last refused: it comes back every few minutes,
/// until somebody sees to it.
const CLONED_LATELY: TimeDelta = TimeDelta::hours(24);

pub(crate) fn agents(output: Output, args: &AgentsArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let Some(command) = &args.command else {
        return list(&client, output, &args.list);
    };
    match command {
        AgentsCommand::Show { agent } => {
            let path = format!("/api/v1/agents/{}", super::files::encoded(agent));
            let shown: AgentDetailView = block_on(async { client.get_json(&path).await.map_err(explain) })?;
            let config: Option<ConfigStateView> = if output == Output::Table && shown.link.config_version > 0 {
                let path = format!("{path}/config");
                Some(block_on(async { client.get_json(&path).await.map_err(explain) })?)
            } else {
                None
            };
            print_one(output, &shown, |shown| show::detail(shown, config.as_ref()))?;
            Ok(Exit::Done)
        }
        AgentsCommand::Rename { agent, name } => change::rename(&client, agent, name),
        AgentsCommand::Edit(args) => change::edit(&client, args),
        AgentsCommand::Maintenance(args) => change::maintenance(&client, args),
        AgentsCommand::RotateKey { agents } => change::rotate_keys(&client, agents),
        AgentsCommand::Prune { silent_for, yes } => change::prune(&client, output, *silent_for, *yes),
        AgentsCommand::Remove { agent, yes } => change::remove(&client, agent, *yes),
        AgentsCommand::Revoke { agent } => change::revoke(&client, agent),
    }
}

fn list(client: &Client, output: Output, args: &ListAgentsArgs) -> anyhow::Result<Exit> {
    let query = query(args)?;
    let agents = fetch(client, query.clone())?;
    print(output, &agents)?;
    if output == Output::Table && query.status.is_none() {
        let revoked = AgentQuery {
            status: Some(AgentStatus::Revoked),
            ..query
        };
        if let Some(text) = unlisted(fetch(client, revoked)?.len()) {
            eprintln!("{text}");
        }
    }
    Ok(Exit::Done)
}

/// What the options ask for.
pub(super) fn query(args: &ListAgentsArgs) -> anyhow::Result<AgentQuery> {
    let status = args
        .status
        .as_ref()
        .map(|status| serde_json::from_value(status.as_str().into()));
    let labels: Vec<String> = args.select.labels.iter().map(ToString::to_string).collect();
    Ok(AgentQuery {
        kind: args.select.kind.clone(),
        site: args.select.site.clone(),
        labels: (!labels.is_empty()).then(|| labels.join(",")),
        capability: args.select.capability.clone(),
        container_engine: args.select.container_engine.clone(),
        group: args.group.clone(),
        status: status
            .transpose()
            .context("--status takes online, degraded, offline, maintenance or revoked")?,
        name: args.name.clone(),
        version: args.version.clone(),
        os: args.os.clone(),
        ..AgentQuery::default()
    })
}

/// What is said of revoked agents below a list that leaves them out.
fn unlisted(revoked: usize) -> Option<String> {
    match revoked {
        0 => None,
        1 => Some("1 revoked: --status revoked shows it".to_owned()),
        revoked => Some(format!("{revoked} revoked: --status revoked shows them")),
    }
}

/// All agents that the query asks for.
pub(super) fn fetch(client: &Client, query: AgentQuery) -> anyhow::Result<Vec<AgentView>> {
    let mut agents = Vec::new();
    let set = |query: &mut AgentQuery, cursor, limit: usize| {
        query.cursor = cursor;
        query.limit = Some(limit.min(PAGE));
    };
    block_on(for_each(client, "/api/v1/agents", query, 0, set, |agent| {
        agents.push(agent);
        Ok(true)
    }))?;
    Ok(agents)
}

pub(super) fn print(output: Output, agents: &[AgentView]) -> anyhow::Result<()> {
    match output {
        Output::Jsonl => agents
            .iter()
            .try_for_each(|agent| print_one(output, agent, |_| String::new())),
        _ => print_one(output, &agents, |agents| table(agents)),
    }
}

/// Whether it tells of files: other products tell of other things, and a 0 would say that theirs are gone.
pub(super) fn has_files(agent: &AgentView) -> bool {
    agent.kind == "scanner" || agent.files.present + agent.files.deleted > 0
}

fn table(agents: &[AgentView]) -> String {
    let mut table = Table::new(&[
        "NAME",
        "KIND",
        "STATUS",
        "SITE",
        "FILES",
        "SIZE",
        "OWED",
        "LAST SEEN",
        "VERSION",
        "HOST",
    ])
    .right(4)
    .right(5)
    .right(6);
    let now = Utc::now();
    for agent in agents {
        let (files, size) = if has_files(agent) {
            (
                agent.files.present.to_string(),
                ByteSize::new(agent.files.bytes).human(),
            )
        } else {
            (String::new(), String::new())
        };
        let owed = agent.health.as_ref().and_then(|health| health.outbox_records);
        table.row([
            printable(agent.name.as_bytes()).into_owned(),
            agent.kind.clone(),
            status(agent, now),
            agent.site.as_ref().map(ToString::to_string).unwrap_or_default(),
            files,
            size,
            owed.map(|owed| owed.to_string()).unwrap_or_default(),
            agent.last_seen.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            printable(agent.version.as_bytes()).into_owned(),
            printable(agent.hostname.as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}

/// How it is, in a word; and whether a copy of it comes with its key, which may well be why it is away.
fn status(agent: &AgentView, now: DateTime<Utc>) -> String {
    let status = word(&agent.status);
    match agent.cloned_at {
        Some(at) if now - at < CLONED_LATELY => format!("{status}, cloned"),
        _ => status,
    }
}

/// `KEY=VALUE` of each.
pub(super) fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(" ")
}

pub(super) fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).ok();
    json.and_then(|json| json.as_str().map(str::to_owned))
        .unwrap_or_default()
}

pub(super) fn time(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_who_is_left_out_and_who_was_cloned() {
        assert_eq!(unlisted(0), None);
        assert_eq!(unlisted(1).unwrap(), "1 revoked: --status revoked shows it");
        assert_eq!(unlisted(2).unwrap(), "2 revoked: --status revoked shows them");

        let now = Utc::now();
        let mut agent: AgentView = serde_json::from_value(serde_json::json!({
            "id": "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e", "name": "web-1", "kind": "reef-agent", "status": "offline",
            "hostname": "web-1", "version": "1", "capabilities": [], "enrolled_at": now, "last_seen": now,
            "files": {"present": 0, "deleted": 0, "bytes": 0},
        }))
        .unwrap();
        assert_eq!(status(&agent, now), "offline");
        agent.cloned_at = Some(now - TimeDelta::hours(1));
        assert_eq!(status(&agent, now), "offline, cloned");
        assert!(table(&[agent.clone()]).contains("offline, cloned"));
        agent.cloned_at = Some(now - TimeDelta::days(2));
        assert_eq!(status(&agent, now), "offline");
    }
}
