//! `fleet-controller agent-config`.
use super::{
    PAGE,
    agents::{time, word},
    block_on, explain, files, for_each, print_one, session,
};
use crate::{cli::Output, cli_link::AgentConfigCommand};
use anyhow::Context as _;
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{AgentDetailView, ConfigRequest, ConfigStateView, ConfigView, PageQuery, RollbackRequest};
use fleet_core::AgentStatus;
use fleet_wire::link::{ConfigOutcome, ConfigProblem, ConfigReport};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, HeaderMap, Method, Request};

/// After so long it is said why it takes long.
const SAY_AFTER: Duration = Duration::from_secs(2);
/// What an agent calls the document that was pushed, where it says in which file a mistake stands.
const CONTROLLER: &str = "controller";
/// How often it is looked whether the agent has answered.
const LOOK: Duration = Duration::from_millis(300);

pub(crate) fn agent_config(output: Output, command: &AgentConfigCommand) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let path = |agent: &str| format!("/api/v1/agents/{}/config", files::encoded(agent));
    let mut waits = None;
    let set: ConfigView = match command {
        AgentConfigCommand::Get { agent } => {
            let state: ConfigStateView = block_on(async { client.get_json(&path(agent)).await.map_err(explain) })?;
            print_one(output, &state, shown)?;
            return Ok(Exit::Done);
        }
        AgentConfigCommand::History { agent } => {
            let path = format!("{}/history", path(agent));
            let mut configs: Vec<ConfigView> = Vec::new();
            let set = |query: &mut PageQuery, cursor, limit: usize| {
                query.cursor = cursor;
                query.limit = Some(limit.min(PAGE));
            };
            let each = |config| {
                configs.push(config);
                Ok(true)
            };
            block_on(for_each(&client, &path, PageQuery::default(), 0, set, each))?;
            print_one(output, &configs, |configs| table(configs))?;
            return Ok(Exit::Done);
        }
        AgentConfigCommand::Set {
            agent,
            file,
            comment,
            follows,
            wait,
            within,
        } => {
            waits = wait.then_some((agent, within.get()));
            let request = ConfigRequest {
                text: read(file)?,
                comment: comment.clone(),
                follows: *follows,
            };
            let body = serde_json::to_vec(&request)?;
            let request = Request::new(Method::PUT, path(agent)).with_body("application/json", body);
            block_on(async { client.send(request, &CancellationToken::new()).await.map_err(explain) })?
                .json()
                .map_err(explain)?
        }
        AgentConfigCommand::Rollback {
            agent,
            version,
            wait,
            within,
        } => {
            waits = wait.then_some((agent, within.get()));
            let request = RollbackRequest { version: *version };
            let path = format!("{}/rollback", path(agent));
            block_on(async {
                client
                    .post_json(&path, &request, HeaderMap::new())
                    .await
                    .map_err(explain)
            })?
        }
        AgentConfigCommand::Withdraw { agent } => {
            let request = Request::new(Method::DELETE, path(agent));
            block_on(async { client.send(request, &CancellationToken::new()).await.map_err(explain) })?
                .json()
                .map_err(explain)?
        }
    };
    if let Some((agent, within)) = waits {
        let Some(report) = block_on(answer(&client, agent, &path(agent), set.version, within))? else {
            eprintln!(
                "version {} is set, and the agent has said nothing of it within {} s; it takes it up when it is back",
                set.version,
                within.as_secs()
            );
            return Ok(Exit::Findings);
        };
        print_one(output, &report, reported)?;
        return Ok(match report.outcome {
            ConfigOutcome::Applied => Exit::Done,
            ConfigOutcome::Refused | ConfigOutcome::Other => Exit::Findings,
        });
    }
    print_one(output, &set, |set| match &set.text {
        Some(_) => format!(
            "version {} is set; `agent-config get` shows what the agent makes of it\n",
            set.version
        ),
        None => "withdrawn: the agent runs with what is on its own machine\n".to_owned(),
    })?;
    Ok(Exit::Done)
}

/// What the agent says of a version, once it has said it. An agent that is away is waited for, and that is said.
async fn answer(
    client: &Client,
    agent: &str,
    path: &str,
    version: u64,
    within: Duration,
) -> anyhow::Result<Option<ConfigReport>> {
    let begun = tokio::time::Instant::now();
    let mut is_said = false;
    loop {
        let state: ConfigStateView = client.get_json(path).await.map_err(explain)?;
        let is_about = |report: &ConfigReport| report.about.as_ref().is_some_and(|about| about.version == version);
        if let Some(report) = state.report.filter(is_about) {
            return Ok(Some(report));
        }
        if begun.elapsed() >= within {
            return Ok(None);
        }
        if begun.elapsed() >= SAY_AFTER && !std::mem::replace(&mut is_said, true) {
            say_why_it_takes_long(client, agent).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn say_why_it_takes_long(client: &Client, agent: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/agents/{}", files::encoded(agent));
    let shown: AgentDetailView = client.get_json(&path).await.map_err(explain)?;
    let name = printable(agent.as_bytes()).into_owned();
    match (&shown.link.session, shown.agent.status) {
        (_, AgentStatus::Offline) => eprintln!("{name}: away since {}", time(&shown.agent.last_seen)),
        (None, _) => eprintln!("{name}: has no link by which it could say what it makes of it"),
        (Some(_), _) => eprintln!("{name}: has not answered yet"),
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("could not read standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("could not read `{}`", file.display()))
}

fn shown(state: &ConfigStateView) -> String {
    let mut text = String::new();
    // Writing to memory cannot fail.
    let _ = match &state.latest {
        None => writeln!(text, "# nothing is set: the agent runs with what is on its own machine"),
        Some(config) => {
            let (by, at) = (printable(config.set_by.as_bytes()), time(&config.set_at));
            let what = if config.text.is_some() { "set" } else { "withdrawn" };
            writeln!(
                text,
                "# version {}, {what} by {by} at {at} {}",
                config.version,
                printable(config.comment.as_bytes())
            )
        }
    };
    if let Some(report) = &state.report {
        text.push_str(&reported(report));
    }
    if let Some(document) = state.latest.as_ref().and_then(|config| config.text.as_ref()) {
        for line in document.lines() {
            let _ = writeln!(text, "{}", printable(line.as_bytes()));
        }
    }
    text
}

/// What was set, and what is in force.
pub(crate) fn in_a_line(state: &ConfigStateView) -> Option<String> {
    let latest = state.latest.as_ref()?.version;
    let Some(report) = &state.report else {
        return Some(format!("version {latest}, of which the agent has said nothing yet"));
    };
    let running = match &report.running {
        Some(running) => format!("version {}", running.version),
        None => "what is on its own machine".to_owned(),
    };
    let is_about = report.about.as_ref().is_some_and(|about| about.version == latest);
    Some(match (is_about, report.outcome) {
        (true, ConfigOutcome::Applied) => format!("version {latest}, in force"),
        (true, _) => {
            let why = report
                .problems
                .first()
                .map(|problem| place(problem) + problem.text.lines().next().unwrap_or_default());
            let why = why
                .map(|why| format!(": {}", printable(why.as_bytes())))
                .unwrap_or_default();
            format!("version {latest} was refused{why}; in force: {running}")
        }
        (false, _) => format!("version {latest}; in force: {running}"),
    })
}

fn reported(report: &ConfigReport) -> String {
    let about = report.about.as_ref().map_or_else(
        || "its own file".to_owned(),
        |about| format!("version {}", about.version),
    );
    let mut text = format!(
        "# the agent, at {}: {about} {}\n",
        time(&report.at),
        word(&report.outcome)
    );
    for problem in &report.problems {
        let place = place(problem);
        let key = problem.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        let line = format!("{place}{key}{}", problem.text);
        // Writing to memory cannot fail.
        let _ = writeln!(text, "#   {}", printable(line.as_bytes()));
    }
    if !report.needs_restart.is_empty() {
        let keys = report.needs_restart.join(", ");
        let _ = writeln!(text, "#   at its next start: {}", printable(keys.as_bytes()));
    }
    text
}

/// Where a mistake stands: what was set is laid over the file on the agent's machine, and both are checked as one, so that
/// either may have it.
fn place(problem: &ConfigProblem) -> String {
    let file = match problem.file.as_deref() {
        Some(CONTROLLER) => Some("the pushed configuration".to_owned()),
        Some(file) => Some(format!("on the agent's machine, {file}")),
        None => None,
    };
    let within = match (problem.line, problem.column) {
        (Some(line), Some(column)) => Some(format!("{line}:{column}")),
        (Some(line), None) => Some(line.to_string()),
        _ => None,
    };
    let parts: Vec<String> = file.into_iter().chain(within).collect();
    if parts.is_empty() {
        String::new()
    } else {
        parts.join(":") + ": "
    }
}

fn table(configs: &[ConfigView]) -> String {
    let mut table = Table::new(&["VERSION", "SET", "BY", "BYTES", "COMMENT"])
        .right(0)
        .right(3);
    for config in configs {
        table.row([
            config.version.to_string(),
            time(&config.set_at),
            printable(config.set_by.as_bytes()).into_owned(),
            config
                .text
                .as_ref()
                .map_or_else(|| "withdrawn".to_owned(), |text| text.len().to_string()),
            printable(config.comment.as_bytes()).into_owned(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn a_refusal_says_of_each_mistake_whether_it_is_the_agent_s_own_or_was_pushed() {
        let problem = |file: Option<&str>, line, column| ConfigProblem {
            key: Some("watch.paths[2]".to_owned()),
            file: file.map(str::to_owned),
            line,
            column,
            text: "will not do".to_owned(),
        };
        let report = ConfigReport {
            running: None,
            about: None,
            outcome: ConfigOutcome::Refused,
            problems: vec![
                problem(Some("/etc/reef-agent/config.toml"), Some(6), Some(61)),
                problem(Some("controller"), Some(2), Some(3)),
                problem(Some("REEF_WATCH__PATHS"), None, None),
                problem(None, None, None),
            ],
            needs_restart: Vec::new(),
            at: DateTime::UNIX_EPOCH,
        };
        let text = reported(&report);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "#   on the agent's machine, /etc/reef-agent/config.toml:6:61: watch.paths[2]: will not do",
                "#   the pushed configuration:2:3: watch.paths[2]: will not do",
                "#   on the agent's machine, REEF_WATCH__PATHS: watch.paths[2]: will not do",
                "#   watch.paths[2]: will not do",
            ]
        );
    }
}
