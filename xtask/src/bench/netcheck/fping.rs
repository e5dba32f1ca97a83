//! The engine for pings, and smotra-agent with it, beside fping: the same loopback targets, the same probes.
use super::{
    Args, bare, target,
    turns::{self, Contender, Row, Told, limit},
};
use crate::process;
use anyhow::{Context, Result};
use netcheck::ping::{PingOptions, PingReport, Pinger, PingerOptions, Pinging};
use std::{
    fs,
    net::IpAddr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

const BARE: &str = "a bare socket, nothing kept";

/// The engine alone.
#[derive(clap::Args)]
pub(crate) struct Pings {
    pub(super) targets: u32,
    count: u32,
    interval_ms: u64,
    /// Each target once by a bare socket, which is what pings cost at the least.
    #[arg(long)]
    bare: bool,
}

pub(super) fn run(args: &Args, programs: &Path, home: &Path) -> Result<()> {
    let list = home.join("targets");
    let lines: Vec<String> = (0..args.targets).map(|n| format!("{}\n", target(n))).collect();
    fs::write(&list, lines.concat())?;
    let bench = Bench {
        programs,
        list: &list,
        args,
    };
    let once = bench.compare("once, as fast as can be", 1, args.runs, 0)?;
    let rounds = bench.compare("10 rounds, one each second", 10, 1, 1000)?;
    bench.many()?;
    judge(&once, &rounds);
    Ok(())
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
            // It ends with 4 where it has run out of numbers, and with 1 where something was lost.
            let fping = move || self.fping(count, interval_ms);
            contenders.push(Contender::command("fping -i0", &[0, 1, 4], fping, of_fping));
        } else {
            eprintln!("fping: not installed, not measured (cargo xtask setup --bench)");
        }
        if count == 1 {
            let bare = move || {
                let mut command = self.engine(self.args.targets, 1, 0);
                command.arg("--bare");
                command
            };
            contenders.push(Contender::command(BARE, &[0], bare, of_engine));
        }
        let engine = move || self.engine(self.args.targets, count, interval_ms);
        contenders.push(Contender::command("the engine alone", &[0], engine, of_engine));
        let agent = move || self.agent(count, interval_ms);
        contenders.push(Contender::command("smotra-agent check ping", &[0, 1], agent, of_agent));
        let rows = turns::run(&contenders, runs)?;
        let head = format!("{} targets {how}", self.args.targets);
        turns::print(&head, &rows, u64::from(self.args.targets * count), self.args.markdown);
        Ok(rows)
    }

    /// Six times as many targets at once, which nobody else can do.
    fn many(&self) -> Result<()> {
        let targets = self.args.targets * 6;
        let engine = move || self.engine(targets, 10, 1000);
        let rows = turns::run(&[Contender::command("the engine alone", &[0], engine, of_engine)], 1)?;
        let head = format!("{targets} targets 10 rounds, one each second");
        turns::print(&head, &rows, u64::from(targets) * 10, self.args.markdown);
        limit(&format!("false loss among {targets} targets"), rows[0].lost(), 0.0);
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

/// The engine alone, or a bare socket: pings, and prints how many were sent and lost.
pub(crate) fn ping(args: &Pings) -> Result<()> {
    if args.bare {
        return bare::ping(args);
    }
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
    // From the last one on: by then most others have ended, and who waits is woken a few times, not for each.
    for report in under_way.into_iter().rev().map(Pinging::wait) {
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

fn judge(once: &[Row], rounds: &[Row]) {
    for what in ["the engine alone", "fping -i0"] {
        if let Some(share) = turns::share(once, what, BARE) {
            println!("note: {what} costs {share:.2} times as much as {BARE}");
        }
    }
    if let Some(share) = turns::share(once, "the engine alone", "fping -i0") {
        limit("the engine's CPU a probe, as a share of fping's, <= 0.5", share, 0.5);
    }
    if let Some(share) = turns::share(once, "smotra-agent check ping", "fping -i0") {
        limit("smotra-agent's, <= 0.6", share, 0.6);
    }
    for row in rounds.iter().filter(|row| row.what != "fping -i0") {
        limit(&format!("false loss in 10 rounds, {}", row.what), row.lost(), 0.0);
    }
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
