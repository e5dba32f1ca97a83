//! `fleet-controller groups`.
use super::{
    agents::{fetch, print, time},
    block_on, explain,
    files::encoded,
    print_one, session,
};
use crate::{
    cli::Output,
    cli_agents::{GroupsCommand, SelectArgs},
};
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{AgentQuery, GroupRequest, GroupView, List};
use fleet_core::AgentSelector;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, Method, Request};

pub(crate) fn groups(output: Output, command: &GroupsCommand) -> anyhow::Result<Exit> {
    let client = session::client()?;
    match command {
        GroupsCommand::List => list(&client, output)?,
        GroupsCommand::Show { name } => show(&client, output, name)?,
        GroupsCommand::Set { name, select, comment } => {
            let request = GroupRequest {
                selector: selector(select),
                comment: comment.clone(),
            };
            let request = Request::new(Method::PUT, path(name))
                .with_body("application/json", serde_json::to_vec(&request)?)
                .repeatable();
            block_on(async { client.send(request, &CancellationToken::new()).await.map_err(explain) })?;
            show(&client, output, name)?;
        }
        GroupsCommand::Remove { name } => {
            block_on(async { client.delete(&path(name)).await.map_err(explain) })?;
            eprintln!("{} is forgotten; its agents stay", printable(name.as_bytes()));
        }
    }
    Ok(Exit::Done)
}

fn path(name: &str) -> String {
    format!("/api/v1/groups/{}", encoded(name))
}

fn selector(select: &SelectArgs) -> AgentSelector {
    AgentSelector {
        kind: select.kind.clone(),
        site: select.site.clone(),
        labels: select.labels.clone(),
        capability: select.capability.clone(),
        container_engine: select.container_engine.clone(),
    }
}

fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let groups: List<GroupView> = block_on(async { client.get_json("/api/v1/groups").await.map_err(explain) })?;
    match output {
        Output::Jsonl => groups
            .items
            .iter()
            .try_for_each(|group| print_one(output, group, |_| String::new())),
        _ => print_one(output, &groups.items, |groups| table(groups)),
    }
}

/// The group, and in a table who belongs to it.
fn show(client: &Client, output: Output, name: &str) -> anyhow::Result<()> {
    let group: GroupView = block_on(async { client.get_json(&path(name)).await.map_err(explain) })?;
    if output != Output::Table {
        return print_one(output, &group, |_| String::new());
    }
    print_one(output, &group, |group| table(std::slice::from_ref(group)) + "\n")?;
    let query = AgentQuery {
        group: Some(name.to_owned()),
        ..AgentQuery::default()
    };
    print(output, &fetch(client, query)?)
}

fn table(groups: &[GroupView]) -> String {
    let mut table = Table::new(&["GROUP", "WHO", "CHANGED", "BY", "COMMENT"]);
    for group in groups {
        table.row([
            printable(group.name.as_bytes()).into_owned(),
            printable(who(&group.selector).as_bytes()).into_owned(),
            time(&group.changed_at),
            printable(group.changed_by.as_bytes()).into_owned(),
            printable(group.comment.as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}

/// As the options of `groups set` have it.
fn who(selector: &AgentSelector) -> String {
    let mut parts = Vec::new();
    let mut add = |option: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("--{option} {value}")));
    };
    add("kind", selector.kind.clone());
    add("site", selector.site.as_ref().map(ToString::to_string));
    for label in &selector.labels {
        add("label", Some(label.to_string()));
    }
    add("capability", selector.capability.clone());
    add("container-engine", selector.container_engine.clone());
    parts.join(" ")
}
