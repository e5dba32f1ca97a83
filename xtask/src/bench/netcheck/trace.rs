//! Traces over three hops in namespaces of their own: smotra-agent beside mtr, and a thousand at once.
use super::{
    Args,
    turns::{self, Contender, Told, limit},
};
use crate::{
    bench::measure::{self, Cost},
    process,
};
use anyhow::Result;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};
use testkit::net::{Topology, TopologyOptions, address};

/// Targets of the many: each is an address of the far host.
const MANY: u32 = 1000;
const HOPS: usize = 3;
const AGENT: &str = "smotra-agent check trace";
const MTR: &str = "mtr -c3";

pub(super) fn run(args: &Args, programs: &Path, home: &Path) -> Result<()> {
    let Some(network) = Topology::new_or_skip(&TopologyOptions::default())? else {
        return Ok(());
    };
    let agent = programs.join("smotra-agent");
    let one = address::B.v4.to_string();
    let trace = |args: &[&str]| {
        let mut command = Command::new(&agent);
        command.args(["check", "trace", "--output", "jsonl"]).args(args);
        command
    };
    let mut contenders = vec![within(&network, AGENT, || trace(&[&one]), of_agent)];
    if process::have("mtr") {
        let mtr = || {
            let mut command = Command::new("mtr");
            command.args(["-n", "-r", "-c3", "-i0.1", &one]);
            command
        };
        contenders.push(within(&network, MTR, mtr, of_mtr));
    } else {
        eprintln!("mtr: not installed, not measured (cargo xtask setup --bench)");
    }
    let rows = turns::run(&contenders, args.runs)?;
    turns::print("one trace of three hops, three probes each", &rows, 1, args.markdown);
    let wall = |what: &str| {
        rows.iter()
            .find(|row| row.what == what && row.told.is_some())
            .map(|row| row.cost.wall)
    };
    if let (Some(ours), Some(mtr)) = (wall(AGENT), wall(MTR)) {
        limit("time of a trace, as a share of mtr's, <= 0.02", ours / mtr, 0.02);
    }
    many(args, &network, home, trace)
}

fn many(args: &Args, network: &Topology, home: &Path, trace: impl Fn(&[&str]) -> Command + Sync) -> Result<()> {
    // They are no address of an interface: the far host takes the whole network for its own.
    network
        .b()
        .ip(["route", "add", "local", "10.202.0.0/16", "dev", "lo"])?;
    let (r2, b) = (address::R2.v4.to_string(), address::B.v4.to_string());
    network.r1().ip(["route", "add", "10.202.0.0/16", "via", &r2])?;
    network.r2().ip(["route", "add", "10.202.0.0/16", "via", &b])?;
    let list = home.join("far");
    let lines: Vec<String> = (0..MANY)
        .map(|n| format!("10.202.{}.{}\n", n / 250, n % 250 + 1))
        .collect();
    fs::write(&list, lines.concat())?;
    let (list, all) = (list.display().to_string(), MANY.to_string());
    let command = || trace(&["--parallel", &all, "--file", &list]);
    let rows = turns::run(&[within(network, AGENT, command, of_agent)], args.runs)?;
    turns::print("a thousand traces at once", &rows, u64::from(MANY), args.markdown);
    for row in rows {
        limit("seconds for a thousand traces at once, <= 2", row.cost.wall, 2.0);
        limit("of them, not as they should be", row.lost(), 0.0);
    }
    Ok(())
}

/// A program that runs on the near host.
fn within<'c>(
    network: &'c Topology,
    what: &'static str,
    command: impl Fn() -> Command + Sync + 'c,
    told: fn(&Output) -> Option<Told>,
) -> Contender<'c> {
    Contender::new(what, move || {
        let run = || measure::run_and_read(command().stdout(Stdio::piped()), &[0, 1]);
        let (cost, output): (Cost, Output) = network.a().enter(run)??;
        Ok((cost, told(&output)))
    })
}

/// A trace is lost that did not find each of the hops.
fn of_agent(output: &Output) -> Option<Told> {
    let mut told = Told::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let report: serde_json::Value = serde_json::from_str(line).ok()?;
        let hops = report["hops"].as_array()?;
        let is_whole = hops.len() == HOPS && hops.iter().all(|hop| hop["lost"] == 0);
        told.sent += 1;
        told.lost += u64::from(!is_whole || report["reached"] != true);
    }
    (told.sent > 0).then_some(told)
}

/// A line such as `  1.|-- 10.201.1.1   0.0%   3   0.1 …` a hop.
fn of_mtr(output: &Output) -> Option<Told> {
    let text = String::from_utf8_lossy(&output.stdout);
    let hops = text.lines().filter(|line| line.contains("|--")).count();
    let lost = u64::from(hops != HOPS);
    (hops > 0).then_some(Told { sent: 1, lost })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    #[test]
    fn a_trace_that_misses_a_hop_is_lost() {
        let said = |stdout: &str| Output {
            status: ExitStatus::default(),
            stdout: stdout.into(),
            stderr: Vec::new(),
        };
        let whole = r#"{"reached":true,"hops":[{"lost":0},{"lost":0},{"lost":0}]}"#;
        let short = r#"{"reached":true,"hops":[{"lost":0},{"lost":1},{"lost":0}]}"#;
        let told = of_agent(&said(&format!("{whole}\n{short}\n")));
        assert_eq!(told, Some(Told { sent: 2, lost: 1 }));
        let mtr =
            "Start: now\nHOST: a Loss%\n  1.|-- 10.201.1.1 0.0%\n  2.|-- 10.201.2.2 0.0%\n  3.|-- 10.201.3.2 0.0%\n";
        assert_eq!(of_mtr(&said(mtr)), Some(Told { sent: 1, lost: 0 }));
        assert_eq!(of_mtr(&said("mtr: no such host\n")), None);
    }
}
