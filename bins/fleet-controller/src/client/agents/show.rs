//! All that is known of one agent, for people.
use super::{labels, time, word};
use crate::client::agent_config::in_a_line;
use core_model::ByteSize;
use daemon_kit::printable;
use fleet_api::rest::{AgentDetailView, AgentView, ConfigStateView, LinkView, MalwareStatusView, SnapshotView};
use fleet_core::{KeyStatus, SnapshotState};
use std::fmt::Write as _;

pub(super) fn detail(view: &AgentDetailView, config: Option<&ConfigStateView>) -> String {
    let agent = &view.agent;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {value}");
    };
    line("name", printable(agent.name.as_bytes()).into_owned());
    line("id", agent.id.to_string());
    line("kind", agent.kind.clone());
    line("status", status(agent));
    line("host", printable(agent.hostname.as_bytes()).into_owned());
    place_lines(agent, &mut line);
    line("version", printable(agent.version.as_bytes()).into_owned());
    line("enrolled", time(&agent.enrolled_at));
    line("last seen", time(&agent.last_seen));
    line("key", key(view.key.as_ref()));
    if super::has_files(agent) {
        line(
            "files",
            format!(
                "{} ({}), {} deleted",
                agent.files.present,
                ByteSize::new(agent.files.bytes).human(),
                agent.files.deleted
            ),
        );
    }
    malware_lines(&view.malware, &mut line);
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
    link_lines(&agent.kind, &view.link, &mut line);
    if let Some(text) = config.and_then(in_a_line) {
        line("config", text);
    }
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

fn status(agent: &AgentView) -> String {
    let mut text = word(&agent.status);
    if let Some(maintenance) = &agent.maintenance {
        // Writing to memory cannot fail.
        let _ = write!(
            text,
            " since {} by {}",
            time(&maintenance.since),
            printable(maintenance.by.as_bytes())
        );
        if let Some(until) = &maintenance.until {
            let _ = write!(text, ", until {}", time(until));
        }
        if !maintenance.reason.is_empty() {
            let _ = write!(text, ": {}", printable(maintenance.reason.as_bytes()));
        }
        return text;
    }
    if let Some(reason) = agent.health.as_ref().and_then(|health| health.reason.as_ref()) {
        let _ = write!(text, ": {}", printable(reason.as_bytes()));
    }
    text
}

fn place_lines(agent: &AgentView, line: &mut impl FnMut(&str, String)) {
    if let Some(site) = &agent.site {
        let by = if agent.assigned.site.is_some() {
            " (by an operator)"
        } else {
            ""
        };
        line("site", format!("{site}{by}"));
    }
    if !agent.labels.is_empty() {
        line("labels", labels(&agent.labels));
    }
    if !agent.assigned.labels.is_empty() {
        line("", format!("by an operator: {}", labels(&agent.assigned.labels)));
    }
    let system = [&agent.os, &agent.kernel, &agent.architecture];
    let system: Vec<&str> = system.into_iter().flatten().map(String::as_str).collect();
    if !system.is_empty() {
        line("system", printable(system.join(", ").as_bytes()).into_owned());
    }
    if !agent.container_engines.is_empty() {
        line(
            "containers",
            printable(agent.container_engines.join(", ").as_bytes()).into_owned(),
        );
    }
}

fn link_lines(kind: &str, link: &LinkView, line: &mut impl FnMut(&str, String)) {
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
                "a second one with its key, on {host} ({from}), was refused {} times, last at {}: one of the two is a copy, \
                 and tells nothing; `{} leave --forget` there, if it does not join for itself",
                clone.refusals,
                time(&clone.last_at),
                printable(kind.as_bytes())
            ),
        );
    }
    if let Some(verbs) = &link.verbs {
        line("takes", printable(verbs.join(", ").as_bytes()).into_owned());
    }
    if link.open_commands > 0 {
        line("commands", format!("{} have not ended", link.open_commands));
    }
}

fn malware_lines(malware: &MalwareStatusView, line: &mut impl FnMut(&str, String)) {
    if malware.open > 0 {
        line(
            "malware",
            format!(
                "{} open, {} of them not acknowledged",
                malware.open, malware.unacknowledged
            ),
        );
    }
    if let Some(last) = &malware.last_scan {
        let scan = &last.scan;
        line(
            "last scan",
            format!(
                "{} at {}, rule {}: {} files ({}), {} detections",
                scan.status.name(),
                time(&scan.ended_at),
                printable(scan.rule.as_bytes()),
                scan.met.files,
                ByteSize::new(scan.met.bytes).human(),
                scan.detections
            ),
        );
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
