//! TCP and HTTP: the library alone and smotra-agent beside blackbox_exporter, by the same targets, so many at a time.
use super::{
    Args,
    blackbox::{self, Blackbox},
    server::{Server, runtime},
    target,
    turns::{self, Contender, Told, Turn, limit},
};
use crate::{
    bench::measure::{self, Cost},
    process,
};
use anyhow::{Context, Result};
use futures_util::{StreamExt as _, stream};
use netcheck::{
    http::{self, HttpOptions},
    tcp::{self, TcpOptions},
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use std::{
    fs, future,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// So many checks are under way at once, of each contender.
const PARALLEL: usize = 64;

const LIBRARY: &str = "the library alone";

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Protocol {
    Tcp,
    Http,
}

/// Checks by the library alone.
#[derive(clap::Args)]
pub(crate) struct Checks {
    protocol: Protocol,
    count: u32,
    port: u16,
}

pub(super) fn run(args: &Args, programs: &Path, home: &Path) -> Result<()> {
    let server = Server::start()?;
    let peer = match process::have(blackbox::NAME) {
        true => Some(Blackbox::start(home)?),
        false => {
            let name = blackbox::NAME;
            eprintln!("{name}: not installed, not measured (cargo xtask setup --bench)");
            None
        }
    };
    // As the project has it: the library's share of the peer's processor time.
    for (protocol, most) in [(Protocol::Tcp, 1.0 / 15.0), (Protocol::Http, 1.0 / 10.0)] {
        let bench = Bench {
            programs,
            protocol,
            targets: protocol.targets(args.checks, server.port),
            port: server.port,
        };
        let list = home.join(protocol.name());
        fs::write(&list, bench.targets.join("\n"))?;
        let rows = turns::run(&bench.contenders(peer.as_ref(), &list), args.runs)?;
        let name = protocol.name();
        let head = format!("{} checks of {name}, {PARALLEL} at a time", args.checks);
        turns::print(&head, &rows, args.checks.into(), args.markdown);
        for row in &rows {
            limit(&format!("failed checks of {name}, {}", row.what), row.lost(), 0.0);
        }
        if let Some(share) = turns::share(&rows, LIBRARY, blackbox::NAME) {
            let what = format!(
                "the library's CPU a check of {name}, as a share of blackbox_exporter's, <= 1/{:.0}; it is 1/{:.1}",
                1.0 / most,
                1.0 / share
            );
            limit(&what, share, most);
        }
        if let Some(share) = turns::share(&rows, protocol.agent(), blackbox::NAME) {
            println!(
                "smotra-agent's share, its start and its report included: 1/{:.1}",
                1.0 / share
            );
        }
    }
    Ok(())
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }

    const fn agent(self) -> &'static str {
        match self {
            Self::Tcp => "smotra-agent check tcp",
            Self::Http => "smotra-agent check http",
        }
    }

    /// Each has an address of its own, as targets have.
    fn targets(self, count: u32, port: u16) -> Vec<String> {
        let targets = (0..count).map(|number| match self {
            Self::Tcp => format!("{}:{port}", target(number)),
            Self::Http => format!("http://{}:{port}/", target(number)),
        });
        targets.collect()
    }

    /// Checks all of them, and counts those that fail.
    async fn failures(self, targets: &[String]) -> usize {
        match self {
            Self::Tcp => {
                let options = &TcpOptions::default();
                count(targets, async |target| {
                    tcp::check(target, options).await.failure.is_some()
                })
                .await
            }
            Self::Http => {
                let options = &HttpOptions::default();
                count(targets, async |target| {
                    http::check(target, options).await.failure.is_some()
                })
                .await
            }
        }
    }
}

struct Bench<'b> {
    programs: &'b Path,
    protocol: Protocol,
    targets: Vec<String>,
    port: u16,
}

impl Bench<'_> {
    fn contenders<'c>(&'c self, peer: Option<&'c Blackbox>, list: &'c Path) -> Vec<Contender<'c>> {
        let mut contenders = Vec::new();
        if let Some(peer) = peer {
            contenders.push(Contender::new(blackbox::NAME, move || {
                peer.probe(self.protocol.name(), &self.targets, PARALLEL)
            }));
        }
        contenders.push(Contender::new(LIBRARY, || self.library()));
        let agent = move || {
            let mut command = Command::new(self.programs.join("smotra-agent"));
            command.args(["check", self.protocol.name(), "--output", "jsonl"]);
            command.args(["--parallel", &PARALLEL.to_string(), "--file"]).arg(list);
            command
        };
        contenders.push(Contender::command(self.protocol.agent(), &[0, 1], agent, of_agent));
        contenders
    }

    /// What its checks take, as it tells itself: the exporter's start is not counted either.
    fn library(&self) -> Result<Turn> {
        let mut command = Command::new(self.programs.join("xtask"));
        command.args(["bench", "checks", self.protocol.name()]);
        command.args([self.targets.len().to_string(), self.port.to_string()]);
        let (cost, output) = measure::run_and_read(command.stdout(Stdio::piped()), &[0])?;
        let (cpu, wall, told) = of_library(&output).context("the checks did not tell what they took")?;
        Ok((Cost { cpu, wall, ..cost }, Some(told)))
    }
}

/// The library alone: checks, and prints seconds of the processor and of the clock, how many were sent, and how many failed.
pub(crate) fn check(args: &Checks) -> Result<()> {
    let targets = args.protocol.targets(args.count, args.port);
    let (before, begun) = (spent()?, Instant::now());
    let failed = runtime()?.block_on(args.protocol.failures(&targets));
    let (cpu, wall) = (spent()? - before, begun.elapsed());
    println!("{} {} {} {failed}", cpu.as_secs_f64(), wall.as_secs_f64(), args.count);
    Ok(())
}

async fn count(targets: &[String], has_failed: impl AsyncFn(&str) -> bool) -> usize {
    let checks = stream::iter(targets).map(|target| has_failed(target));
    let checks = checks.buffer_unordered(PARALLEL);
    checks.filter(|failed| future::ready(*failed)).count().await
}

/// The processor time of this process until now.
fn spent() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

fn of_library(output: &Output) -> Option<(f64, f64, Told)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut figures = text.split_whitespace();
    let mut seconds = || figures.next()?.parse().ok();
    let (cpu, wall) = (seconds()?, seconds()?);
    let told = Told {
        sent: figures.next()?.parse().ok()?,
        lost: figures.next()?.parse().ok()?,
    };
    Some((cpu, wall, told))
}

fn of_agent(output: &Output) -> Option<Told> {
    let mut told = Told::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let report: serde_json::Value = serde_json::from_str(line).ok()?;
        told.sent += 1;
        told.lost += u64::from(!report.get("failure")?.is_null());
    }
    (told.sent > 0).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    fn said(stdout: &str) -> Output {
        Output {
            status: ExitStatus::default(),
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    #[test]
    fn what_each_contender_says_of_its_checks_is_understood() {
        let told = Told { sent: 3, lost: 1 };
        assert_eq!(of_library(&said("0.25 0.5 3 1\n")), Some((0.25, 0.5, told)));
        assert_eq!(of_library(&said("0.25\n")), None);
        let lines = "{\"failure\":null}\n{\"failure\":{\"kind\":\"refused\"}}\n{\"failure\":null}\n";
        assert_eq!(of_agent(&said(lines)), Some(told));
        assert_eq!((of_agent(&said("")), of_agent(&said("{}\n"))), (None, None));
    }

    #[test]
    fn the_server_is_checked_by_the_library_without_a_failure() {
        let server = Server::start().unwrap();
        let failed = |protocol: Protocol| {
            let targets = protocol.targets(100, server.port);
            runtime().unwrap().block_on(protocol.failures(&targets))
        };
        assert_eq!((failed(Protocol::Tcp), failed(Protocol::Http)), (0, 0));
    }
}
