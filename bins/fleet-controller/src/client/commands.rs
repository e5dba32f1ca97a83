//! `fleet-controller commands`.
mod malware;

use super::{
    PAGE,
    agents::{time, word},
    block_on, explain, files, for_each, print_one, session,
};
use crate::{
    cli::Output,
    cli_link::{CommandsArgs, CommandsCommand, ListArgs, PriorityChoice, SendArgs},
};
use anyhow::{Context as _, bail};
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{AgentDetailView, CommandDetailView, CommandQuery, CommandRequest, CommandView, DeliveryView};
use fleet_core::{AgentStatus, CommandTarget, DeliveryState};
use serde_json::{Map, Value};
use std::{collections::HashMap, fmt::Write as _, time::Duration};
use transport_http::{Client, HeaderMap, HeaderValue};

/// Agents that are asked for whether they are away.
const MOST_ASKED: usize = 20;
/// How often a command that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn commands(output: Output, args: &CommandsArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let Some(command) = &args.command else {
        return list(&client, output, &args.list);
    };
    match command {
        CommandsCommand::Send(args) => send(&client, output, args),
        CommandsCommand::List(args) => list(&client, output, args),
        CommandsCommand::Show { id } => {
            let path = format!("/api/v1/commands/{}", files::encoded(id));
            let shown: CommandDetailView = block_on(async { client.get_json(&path).await.map_err(explain) })?;
            print_one(output, &shown, detail)?;
            Ok(Exit::Done)
        }
        CommandsCommand::Cancel { id } => {
            let path = format!("/api/v1/commands/{}/cancel", files::encoded(id));
            let shown: CommandDetailView = block_on(async {
                let cancelled = client.post_json(&path, &Value::Null, HeaderMap::new()).await;
                cancelled.map_err(explain)
            })?;
            print_one(output, &shown, detail)?;
            Ok(Exit::Done)
        }
    }
}

fn send(client: &Client, output: Output, args: &SendArgs) -> anyhow::Result<Exit> {
    let request = CommandRequest {
        verb: args.verb.clone(),
        args: match &args.json_args {
            Some(text) => serde_json::from_str(text).context("--args takes a JSON object")?,
            None => arguments(&args.args)?,
        },
        to: CommandTarget {
            agents: args.to.clone(),
            all: args.all,
            kind: args.kind.clone(),
            site: args.site.clone(),
            labels: args.labels.clone(),
            capability: args.capability.clone(),
            container_engine: args.container_engine.clone(),
            group: args.group.clone(),
        },
        priority: match args.priority {
            PriorityChoice::Low => fleet_wire::link::Priority::Low,
            PriorityChoice::Normal => fleet_wire::link::Priority::Normal,
            PriorityChoice::High => fleet_wire::link::Priority::High,
            PriorityChoice::Critical => fleet_wire::link::Priority::Critical,
        },
        deadline_secs: args.deadline.get().as_secs(),
    };
    let mut headers = HeaderMap::new();
    if let Some(key) = &args.idempotency_key {
        let key = HeaderValue::from_str(key).context("--idempotency-key takes visible ASCII")?;
        headers.insert("idempotency-key", key);
    }
    let sent = block_on(async {
        let sent: CommandDetailView = client
            .post_json("/api/v1/commands", &request, headers)
            .await
            .map_err(explain)?;
        if !args.wait {
            return Ok(sent);
        }
        // Whoever stops waiting finds it again by this.
        eprintln!("command {}", sent.command.id);
        wait(client, sent).await
    })?;
    print_one(output, &sent, detail)?;
    let failed = args.wait && sent.command.agents.not_done() > 0;
    Ok(if failed { Exit::Findings } else { Exit::Done })
}

/// `NAME=VALUE` as fields of an object.
fn arguments(given: &[String]) -> anyhow::Result<Value> {
    let mut args = Map::new();
    for pair in given {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("--arg takes NAME=VALUE, and `{pair}` has no `=`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if args.insert(name.to_owned(), value).is_some() {
            bail!("--arg {name} is given twice");
        }
    }
    Ok(if args.is_empty() {
        Value::Null
    } else {
        Value::Object(args)
    })
}

/// Until the command has ended everywhere; what changes is said on standard error.
async fn wait(client: &Client, mut shown: CommandDetailView) -> anyhow::Result<CommandDetailView> {
    let path = format!("/api/v1/commands/{}", shown.command.id);
    let mut said: HashMap<core_model::AgentId, String> = HashMap::new();
    let (mut is_first, mut is_away_said) = (true, false);
    loop {
        for delivery in &shown.deliveries {
            let line = progress(delivery);
            if said.get(&delivery.agent_id) != Some(&line) {
                eprintln!("{line}");
                said.insert(delivery.agent_id, line);
            }
        }
        if shown.command.agents.open() == 0 {
            return Ok(shown);
        }
        if !std::mem::take(&mut is_first) && !is_away_said {
            is_away_said = true;
            say_who_is_away(client, &shown).await?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        shown = client.get_json(&path).await.map_err(explain)?;
    }
}

/// Whoever is away gets it on its return: to wait for that may be to wait long.
async fn say_who_is_away(client: &Client, shown: &CommandDetailView) -> anyhow::Result<()> {
    let waiting = shown
        .deliveries
        .iter()
        .filter(|delivery| delivery.state == DeliveryState::Queued);
    for delivery in waiting.take(MOST_ASKED) {
        let path = format!("/api/v1/agents/{}", delivery.agent_id);
        let agent: AgentDetailView = client.get_json(&path).await.map_err(explain)?;
        let agent = agent.agent;
        if agent.status == AgentStatus::Offline {
            eprintln!(
                "{}: away since {}; it gets the command when it is back, until {}",
                printable(agent.name.as_bytes()),
                time(&agent.last_seen),
                time(&shown.command.deadline)
            );
        }
    }
    Ok(())
}

fn progress(delivery: &DeliveryView) -> String {
    let mut line = format!("{}: {}", printable(delivery.agent.as_bytes()), word(&delivery.state));
    if let (DeliveryState::Running, Some(progress)) = (delivery.state, &delivery.progress) {
        // Writing to memory cannot fail.
        let _ = match progress.total {
            Some(total) => write!(line, ", {} of {total}", progress.done),
            None => write!(line, ", {}", progress.done),
        };
        if !progress.text.is_empty() {
            let _ = write!(line, " {}", printable(progress.text.as_bytes()));
        }
    }
    line
}

fn list(client: &Client, output: Output, args: &ListArgs) -> anyhow::Result<Exit> {
    let query = CommandQuery {
        agent: args.agent.clone(),
        verb: args.verb.clone(),
        open: args.open,
        ..CommandQuery::default()
    };
    let mut commands: Vec<CommandView> = Vec::new();
    let set = |query: &mut CommandQuery, cursor, limit: usize| {
        query.cursor = cursor;
        query.limit = Some(limit.min(PAGE));
    };
    let each = |command| {
        commands.push(command);
        Ok(true)
    };
    block_on(for_each(client, "/api/v1/commands", query, args.limit, set, each))?;
    match output {
        Output::Jsonl => commands
            .iter()
            .try_for_each(|command| print_one(output, command, |_| String::new()))?,
        _ => print_one(output, &commands, |commands| table(commands))?,
    }
    Ok(Exit::Done)
}

fn table(commands: &[CommandView]) -> String {
    let headings = [
        "ID", "VERB", "AGENTS", "OPEN", "DONE", "NOT DONE", "PRIORITY", "SENT", "BY",
    ];
    let mut table = Table::new(&headings).right(2).right(3).right(4).right(5);
    for command in commands {
        let agents = &command.agents;
        table.row([
            command.id.to_string(),
            printable(command.verb.as_bytes()).into_owned(),
            agents.total().to_string(),
            agents.open().to_string(),
            agents.done.to_string(),
            agents.not_done().to_string(),
            word(&command.priority),
            time(&command.issued_at),
            printable(command.issued_by.as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}

fn detail(shown: &CommandDetailView) -> String {
    let command = &shown.command;
    let mut text = String::new();
    let args = if command.args.is_null() {
        String::new()
    } else {
        format!(" {}", command.args)
    };
    // Writing to memory cannot fail.
    let _ = writeln!(text, "command   {}", command.id);
    let _ = writeln!(
        text,
        "verb      {}{}",
        printable(command.verb.as_bytes()),
        printable(args.as_bytes())
    );
    let by = printable(command.issued_by.as_bytes());
    let _ = writeln!(
        text,
        "sent      {} by {by}, {} priority",
        time(&command.issued_at),
        word(&command.priority)
    );
    let _ = writeln!(text, "to        {}", printable(whom(&command.to).as_bytes()));
    let _ = writeln!(text, "deadline  {}\n", time(&command.deadline));
    let mut table = Table::new(&["AGENT", "STATE", "SINCE", "TRIES", "DETAIL"]).right(3);
    for delivery in &shown.deliveries {
        let since = delivery
            .ended_at
            .or(delivery.started_at)
            .or(delivery.acked_at)
            .or(delivery.sent_at);
        table.row([
            printable(delivery.agent.as_bytes()).into_owned(),
            word(&delivery.state),
            time(&since.unwrap_or(delivery.queued_at)),
            delivery.attempt.to_string(),
            printable(reason(delivery).as_bytes()).into_owned(),
        ]);
    }
    let _ = write!(text, "{table}");
    let more = command.agents.total().saturating_sub(shown.deliveries.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "… and {more} more");
    }
    text + &malware::found(&shown.deliveries)
}

/// For whom, as the options of `commands send` have it.
fn whom(target: &CommandTarget) -> String {
    let mut words = target.agents.clone();
    let mut add = |option: &str, value: Option<String>| words.extend(value.map(|value| format!("--{option} {value}")));
    if target.all {
        add("all", Some(String::new()));
    }
    add("kind", target.kind.clone());
    add("site", target.site.as_ref().map(ToString::to_string));
    for label in &target.labels {
        add("label", Some(label.to_string()));
    }
    add("capability", target.capability.clone());
    add("container-engine", target.container_engine.clone());
    add("group", target.group.clone());
    words.join(" ").trim().to_owned()
}

fn reason(delivery: &DeliveryView) -> String {
    let mut reason = match &delivery.progress {
        Some(progress) if delivery.state == DeliveryState::Running => progress.text.clone(),
        _ => delivery.detail.clone(),
    };
    if delivery.cancel_at.is_some() && !delivery.state.is_over() {
        reason = "being cancelled".to_owned();
    }
    if let Some(code) = &delivery.code {
        reason = format!("{code}: {reason}");
    }
    if let Some(result) = &delivery.result {
        // Writing to memory cannot fail.
        let words = malware::summary(result).unwrap_or_else(|| in_words(result));
        let _ = write!(reason, " ({words})");
    }
    reason.trim().to_owned()
}

/// A result of plain fields as a list; anything else as it is.
fn in_words(result: &Value) -> String {
    let Value::Object(fields) = result else {
        return result.to_string();
    };
    // What is nested is for programs: `--output json` has it.
    let words = fields.iter().filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(format!("{} {value}", name.replace('_', " ")))
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_result_is_told_in_words() {
        let result = json!({"files_new": 3, "state": "done", "roots": [{"path": "/srv"}], "errors": {}});
        assert_eq!(in_words(&result), "files new 3, state done");
        assert_eq!(in_words(&json!([1])), "[1]");
    }

    #[test]
    fn arguments_are_json_or_else_text() {
        let given = |pairs: &[&str]| arguments(&pairs.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(given(&[]).unwrap(), Value::Null);
        let parsed = given(&[r#"paths=["/srv"]"#, "name=a=b", "depth=3"]).unwrap();
        assert_eq!(parsed, json!({"paths": ["/srv"], "name": "a=b", "depth": 3}));
        assert!(given(&["paths"]).unwrap_err().to_string().contains("no `=`"));
        assert!(given(&["a=1", "a=2"]).unwrap_err().to_string().contains("twice"));
    }
}
