//! `fleet-controller statistics`.
use super::{block_on, explain, print_one, session};
use crate::cli::Output;
use core_model::ByteSize;
use daemon_kit::{Exit, printable};
use fleet_api::rest::StatisticsView;
use std::{collections::BTreeMap, fmt::Write as _};

pub(crate) fn statistics(output: Output) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let sums: StatisticsView = block_on(async { client.get_json("/api/v1/statistics").await.map_err(explain) })?;
    print_one(output, &sums, text)?;
    Ok(Exit::Done)
}

fn text(sums: &StatisticsView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:12}  {value}");
    };
    let agents = &sums.agents;
    line(
        "agents",
        format!(
            "{}: {} online, {} degraded, {} offline, {} in maintenance; {} revoked",
            agents.total, agents.online, agents.degraded, agents.offline, agents.maintenance, agents.revoked
        ),
    );
    for (name, counts) in [
        ("kinds", &sums.kinds),
        ("sites", &sums.sites),
        ("versions", &sums.versions),
        ("systems", &sums.systems),
        ("containers", &sums.container_engines),
    ] {
        if !counts.is_empty() {
            line(name, listed(counts));
        }
    }
    let bytes = ByteSize::new(sums.files.bytes).human();
    line(
        "files",
        format!("{} ({bytes}), {} deleted", sums.files.present, sums.files.deleted),
    );
    let malware = &sums.open_detections;
    if malware.total > 0 {
        line(
            "malware",
            format!(
                "{} open on {} agents ({}), {} of them not acknowledged",
                malware.total,
                malware.agents,
                listed(&malware.outcomes),
                malware.unacknowledged
            ),
        );
    }
    line("owed", format!("{} records wait at agents", sums.outbox_records));
    if sums.streams_with_gaps > 0 {
        line(
            "gaps",
            format!("records are missing in {} streams", sums.streams_with_gaps),
        );
    }
    if sums.agents_owing_snapshot > 0 {
        let owing = sums.agents_owing_snapshot;
        line(
            "snapshots",
            format!("{owing} agents were asked for one and have not begun"),
        );
    }
    text
}

/// The most frequent first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| format!("{count} {}", printable(name.as_bytes())))
        .collect();
    counts.join(", ")
}
