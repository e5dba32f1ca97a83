//! The engine for pings, and smotra-agent with it, beside fping: the same loopback targets, the same probes.
use super::measure::{self, Cost};
use crate::process;
use anyhow::{Context, Result};
use netcheck::ping::{PingOptions, PingReport, Pinger, PingerOptions, Pinging};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets.
    #[arg(long, default_value_t = 10_000)]
    targets: u32,
    /// Runs of each, in turn, of which the one in the middle counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// The engine alone.
#[derive(clap::Args)]
pub(crate) struct Pings {
    targets: u32,
    count: u32,
    interval_ms: u64,
}

/// What a contender sent, and how much of it was not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    sent: u64,
    lost: u64,
}

struct Contender<'c> {
    what: &'static str,
    command: Box<dyn Fn() -> Command + 'c>,
    told: fn(&Output) -> Option<Told>,
}

struct Row {
    what: &'static str,
    cost: Cost,
    /// `None` where it gave no result.
    told: Option<Told>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = process::programs("release")?;
    let home = tempfile::tempdir()?;
    let list = home.path().join("targets");
    let lines: Vec<String> = (0..args.targets).map(|n| format!("{}\n", target(n))).collect();
    fs::write(&list, lines.concat())?;
    let bench = Bench {
        programs: &programs,
        list: &list,
        args,
    };
    let once = bench.compare("once, as fast as can be", 1, args.runs, 0)?;
    let rounds = bench.compare("10 rounds, one each second", 10, 1, 1000)?;
    bench.many()?;
    judge(&once, &rounds);
    Ok(())
}

/// Loopback addresses from 127.1.0.1 on: all of 127/8 is this machine.
fn target(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x7f01_0001 + n)
}

struct Bench<'b> {
    programs: &'b Path,
    list: &'b Path,
    args: &'b Args,
}

impl Bench<'_> {
    fn compare(&self, how: &str, count: u32, runs: usize, interval_ms: u64) -> Result<Vec<Row>> {
        let mut contenders = Vec::new();
        if process::have("fping") {
            contenders.push(Contender {
                what: "fping -i0",
                command: Box::new(move || self.fping(count, interval_ms)),
                told: of_fping,
            });
        } else {
            eprintln!("fping: not installed, not measured (cargo xtask setup --bench)");
        }
        contenders.push(Contender {
            what: "the engine alone",
            command: Box::new(move || self.engine(self.args.targets, count, interval_ms)),
            told: of_engine,
        });
        contenders.push(Contender {
            what: "smotra-agent check ping",
            command: Box::new(move || self.agent(count, interval_ms)),
            told: of_agent,
        });
        let mut figures = vec![(Vec::new(), None); contenders.len()];
        for _ in 0..runs {
            for (contender, (costs, told)) in contenders.iter().zip(&mut figures) {
                let mut command = (contender.command)();
                // fping ends with 4 where it has run out of numbers, and others with 1 where something was lost.
                let (cost, output) = measure::run_and_read(command.stdout(Stdio::piped()), &[0, 1, 4])?;
                costs.push(cost);
                *told = (contender.told)(&output);
            }
        }
        let rows = contenders.iter().zip(figures).map(|(contender, (costs, told))| Row {
            what: contender.what,
            cost: Cost::median(&costs),
            told,
        });
        let rows: Vec<Row> = rows.collect();
        let head = format!("{} targets {how}", self.args.targets);
        print(&head, &rows, u64::from(self.args.targets * count), self.args.markdown);
        Ok(rows)
    }

    /// Six times as many targets at once, which nobody else can do.
    fn many(&self) -> Result<()> {
        let targets = self.args.targets * 6;
        let mut command = self.engine(targets, 10, 1000);
        let (cost, output) = measure::run_and_read(command.stdout(Stdio::piped()), &[0])?;
        let told = of_engine(&output);
        let row = Row {
            what: "the engine alone",
            cost,
            told,
        };
        let head = format!("{targets} targets 10 rounds, one each second");
        print(&head, &[row], u64::from(targets) * 10, self.args.markdown);
        let lost = told.map_or(f64::INFINITY, |told| told.lost as f64);
        limit(&format!("false loss among {targets} targets"), lost, 0.0);
        Ok(())
    }

    fn fping(&self, count: u32, interval_ms: u64) -> Command {
        let mut command = Command::new("fping");
        command.args(["-q", "-i0", "-t1000", &format!("-c{count}")]);
        if count > 1 {
            command.arg(format!("-p{interval_ms}"));
        }
        command.arg("-f").arg(self.list);
        command
    }

    fn engine(&self, targets: u32, count: u32, interval_ms: u64) -> Command {
        let mut command = Command::new(self.programs.join("xtask"));
        command.args(["bench", "pings"]);
        command.args([targets.to_string(), count.to_string(), interval_ms.to_string()]);
        command
    }

    fn agent(&self, count: u32, interval_ms: u64) -> Command {
        let mut command = Command::new(self.programs.join("smotra-agent"));
        command.args(["check", "ping", "--output", "jsonl", "--count", &count.to_string()]);
        command
            .args(["--interval", &format!("{interval_ms}ms"), "--file"])
            .arg(self.list);
        command
    }
}

/// The engine alone: pings, and prints how many were sent and lost.
pub(crate) fn ping(args: &Pings) -> Result<()> {
    let pinger = Pinger::start(PingerOptions::default()).context("no pings can be sent")?;
    let options = PingOptions {
        count: args.count,
        interval: Duration::from_millis(args.interval_ms),
        ..PingOptions::default()
    };
    let under_way: Vec<Pinging> = (0..args.targets)
        .map(|n| pinger.ping(IpAddr::V4(target(n)), options))
        .collect();
    let mut told = Told::default();
    for report in under_way.into_iter().map(Pinging::wait) {
        let PingReport { sent, answered, .. } = report;
        told.sent += u64::from(sent);
        told.lost += u64::from(sent - answered);
    }
    println!("{} {}", told.sent, told.lost);
    Ok(())
}

fn of_engine(output: &Output) -> Option<Told> {
    let text = String::from_utf8_lossy(&output.stdout);
    let (sent, lost) = text.trim().split_once(' ')?;
    Some(Told {
        sent: sent.parse().ok()?,
        lost: lost.parse().ok()?,
    })
}

fn of_agent(output: &Output) -> Option<Told> {
    let mut told = Told::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let report: serde_json::Value = serde_json::from_str(line).ok()?;
        let (sent, answered) = (report["sent"].as_u64()?, report["answered"].as_u64()?);
        told.sent += sent;
        told.lost += sent - answered;
    }
    (told.sent > 0).then_some(told)
}

/// A line such as `127.1.0.1 : xmt/rcv/%loss = 10/10/0%, min/avg/max = …` a target.
fn of_fping(output: &Output) -> Option<Told> {
    let mut told = Told::default();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        let Some((_, figures)) = line.split_once("xmt/rcv/%loss = ") else {
            continue;
        };
        let mut figures = figures.split('/').map_while(|figure| figure.parse::<u64>().ok());
        let (sent, answered) = (figures.next()?, figures.next()?);
        told.sent += sent;
        told.lost += sent - answered.min(sent);
    }
    (told.sent > 0).then_some(told)
}

fn print(head: &str, rows: &[Row], probes: u64, markdown: bool) {
    let bar = if markdown { "|" } else { " " };
    println!("{bar} {head:46} {bar} CPU us/probe {bar} wall s {bar} RSS MB {bar}   lost {bar}");
    if markdown {
        println!("| --- | ---: | ---: | ---: | ---: |");
    }
    for Row { what, cost, told } in rows {
        let each = cost.cpu * 1e6 / probes as f64;
        let (wall, memory) = (cost.wall, cost.memory);
        let lost = told.map_or_else(|| "no result".to_owned(), |told| told.lost.to_string());
        let each = if told.is_some() {
            format!("{each:.1}")
        } else {
            "-".to_owned()
        };
        println!("{bar} {what:46} {bar} {each:>12} {bar} {wall:6.2} {bar} {memory:6.1} {bar} {lost:>6} {bar}");
    }
}

fn judge(once: &[Row], rounds: &[Row]) {
    let find = |rows: &[Row], what: &str| rows.iter().find(|row| row.what == what).map(|row| row.cost.cpu);
    if let (Some(fping), Some(engine)) = (find(once, "fping -i0"), find(once, "the engine alone")) {
        limit(
            "the engine's CPU a probe, as a share of fping's, <= 0.5",
            engine / fping,
            0.5,
        );
    }
    if let (Some(fping), Some(agent)) = (find(once, "fping -i0"), find(once, "smotra-agent check ping")) {
        limit("smotra-agent's, <= 0.6", agent / fping, 0.6);
    }
    for row in rounds.iter().filter(|row| row.what != "fping -i0") {
        let lost = row.told.map_or(f64::INFINITY, |told| told.lost as f64);
        limit(&format!("false loss in 10 rounds, {}", row.what), lost, 0.0);
    }
}

fn limit(what: &str, value: f64, most: f64) {
    println!("{}: {what}: {value:.2}", if value <= most { "pass" } else { "miss" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    fn said(stdout: &str, stderr: &str) -> Output {
        Output {
            status: ExitStatus::default(),
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn what_each_contender_says_of_loss_is_understood() {
        let fping =
            "127.1.0.1 : xmt/rcv/%loss = 10/9/10%, min/avg/max = 0.1/0.1/0.2\n127.1.0.2 : xmt/rcv/%loss = 10/0/100%\n";
        assert_eq!(of_fping(&said("", fping)), Some(Told { sent: 20, lost: 11 }));
        assert_eq!(of_fping(&said("", "fping error: not enough sequence numbers\n")), None);
        assert_eq!(of_engine(&said("30 1\n", "")), Some(Told { sent: 30, lost: 1 }));
        let agent = "{\"sent\":4,\"answered\":4}\n{\"sent\":4,\"answered\":1}\n";
        assert_eq!(of_agent(&said(agent, "")), Some(Told { sent: 8, lost: 3 }));
    }
}
