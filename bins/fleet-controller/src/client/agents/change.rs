//! What operators change about agents.
use super::{fetch, query, time};
use crate::{
    cli::Output,
    cli_agents::{EditArgs, ListAgentsArgs, MaintenanceArgs, WhomArgs},
    client::{block_on, explain, files::encoded},
};
use anyhow::ensure;
use chrono::{TimeDelta, Utc};
use core_model::{AgentId, Period};
use daemon_kit::{Exit, printable};
use fleet_api::rest::{AgentDetailView, AgentView, AmendRequest, MaintenanceRequest};
use fleet_core::AgentStatus;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, Method, Request};

pub(super) fn rename(client: &Client, agent: &str, name: &str) -> anyhow::Result<Exit> {
    let request = AmendRequest {
        name: Some(name.to_owned()),
        ..AmendRequest::default()
    };
    amend(client, agent, &request)?;
    eprintln!("renamed; the agent hears so when it next connects");
    Ok(Exit::Done)
}

pub(super) fn edit(client: &Client, args: &EditArgs) -> anyhow::Result<Exit> {
    let site = if args.unset_site {
        Some(None)
    } else {
        args.set_site.clone().map(Some)
    };
    let set = args
        .set_label
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    let unset = args.unset_label.iter().map(|key| (key.clone(), None));
    let request = AmendRequest {
        site,
        labels: set.chain(unset).collect(),
        ..AmendRequest::default()
    };
    amend_all(client, &args.whom, &request, "edited")
}

pub(super) fn maintenance(client: &Client, args: &MaintenanceArgs) -> anyhow::Result<Exit> {
    let until = args.lasts.and_then(|lasts| {
        let lasts = TimeDelta::from_std(lasts.get()).ok()?;
        Utc::now().checked_add_signed(lasts)
    });
    let wanted = MaintenanceRequest {
        until,
        reason: args.reason.clone(),
    };
    let request = AmendRequest {
        maintenance: Some((!args.end).then_some(wanted)),
        ..AmendRequest::default()
    };
    let done = match until {
        _ if args.end => "maintenance is over".to_owned(),
        Some(until) => format!("in maintenance until {}", time(&until)),
        None => "in maintenance until somebody ends it".to_owned(),
    };
    amend_all(client, &args.whom, &request, &done)
}

/// Changes each; one that cannot be changed keeps none of the others from it.
fn amend_all(client: &Client, whom: &WhomArgs, request: &AmendRequest, done: &str) -> anyhow::Result<Exit> {
    let agents = meant(client, whom)?;
    ensure!(!agents.is_empty(), "no agent fits");
    let mut failed = 0;
    for (agent, name) in &agents {
        match amend(client, agent, request) {
            Ok(()) => eprintln!("{}: {done}", printable(name.as_bytes())),
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error:#}", printable(name.as_bytes()));
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} agents were not changed", agents.len());
    Ok(Exit::Done)
}

/// Those named, and those that fit: what to call each by, once, and its name.
fn meant(client: &Client, whom: &WhomArgs) -> anyhow::Result<BTreeMap<String, String>> {
    let mut meant: BTreeMap<_, _> = whom.agents.iter().map(|agent| (agent.clone(), agent.clone())).collect();
    let list = ListAgentsArgs {
        select: whom.select.clone(),
        group: whom.group.clone(),
        ..ListAgentsArgs::default()
    };
    let query = query(&list)?;
    if query != fleet_api::rest::AgentQuery::default() {
        for agent in fetch(client, query)? {
            if !whom.agents.contains(&agent.name) {
                meant.insert(agent.id.to_string(), agent.name);
            }
        }
    } else {
        ensure!(
            !meant.is_empty(),
            "name agents, or say which by --site, --label, --kind or --group"
        );
    }
    Ok(meant)
}

fn amend(client: &Client, agent: &str, request: &AmendRequest) -> anyhow::Result<()> {
    let body = serde_json::to_vec(request)?;
    let path = format!("/api/v1/agents/{}", encoded(agent));
    let request = Request::new(Method::PATCH, path).with_body("application/json", body);
    block_on(async { client.send(request, &CancellationToken::new()).await.map_err(explain) })?;
    Ok(())
}

pub(super) fn revoke(client: &Client, agent: &str) -> anyhow::Result<Exit> {
    let path = format!("/api/v1/agents/{}", encoded(agent));
    block_on(async { client.delete(&path).await.map_err(explain) })?;
    eprintln!(
        "{} can no longer report; enrolling anew needs a join token",
        printable(agent.as_bytes())
    );
    Ok(Exit::Done)
}

pub(super) fn remove(client: &Client, agent: &str, is_meant: bool) -> anyhow::Result<Exit> {
    if !is_meant {
        let path = format!("/api/v1/agents/{}", encoded(agent));
        let shown: AgentDetailView = block_on(async { client.get_json(&path).await.map_err(explain) })?;
        eprintln!(
            "{} ({}), last seen at {}, what is known of its {} files, and its scans and detections of malware ({} open) \
             would go for good; --yes removes it",
            printable(shown.agent.name.as_bytes()),
            shown.agent.id,
            time(&shown.agent.last_seen),
            shown.agent.files.present,
            shown.malware.open
        );
        return Ok(Exit::Usage);
    }
    purge(client, agent)?;
    eprintln!("{} is removed with all that it told", printable(agent.as_bytes()));
    Ok(Exit::Done)
}

fn purge(client: &Client, agent: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/agents/{}?purge=true", encoded(agent));
    block_on(async { client.delete(&path).await.map_err(explain) })?;
    Ok(())
}

/// Revoked agents count, too; those in maintenance do not.
pub(super) fn prune(client: &Client, output: Output, silent_for: Period, is_meant: bool) -> anyhow::Result<Exit> {
    let silent_for = TimeDelta::from_std(silent_for.get())?;
    let now = Utc::now();
    let mut silent: Vec<AgentView> = Vec::new();
    for status in [AgentStatus::Offline, AgentStatus::Revoked] {
        let query = fleet_api::rest::AgentQuery {
            status: Some(status),
            ..Default::default()
        };
        silent.extend(
            fetch(client, query)?
                .into_iter()
                .filter(|agent| now - agent.last_seen > silent_for),
        );
    }
    if !is_meant {
        super::print(output, &silent)?;
        if !silent.is_empty() {
            eprintln!("{} agents; --yes removes them with all that they told", silent.len());
        }
        return Ok(Exit::Done);
    }
    for AgentView { id, name, .. } in &silent {
        let id: &AgentId = id;
        purge(client, &id.to_string())?;
        eprintln!("{} is removed", printable(name.as_bytes()));
    }
    eprintln!("{} agents are removed", silent.len());
    Ok(Exit::Done)
}

/// Asks each; one that cannot be asked keeps none of the others from it.
pub(super) fn rotate_keys(client: &Client, agents: &[String]) -> anyhow::Result<Exit> {
    let mut failed = 0;
    for agent in agents {
        let path = format!("/api/v1/agents/{}/rotate-key", encoded(agent));
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
    ensure!(failed == 0, "{failed} of {} agents were not asked", agents.len());
    Ok(Exit::Done)
}
