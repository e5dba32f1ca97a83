//! The daemons as they are most of their life: how soon they are ready, and what they cost while nothing happens.
use crate::{demo::fleet::Fleet, interrupt::Interrupt, process};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    thread,
    time::{Duration, Instant},
};
use testkit::{Daemon, GUARD, Program, TreePlan, free_loopback_port, http_get};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Starts of each, of which the one in the middle counts.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Seconds to watch each daemon at rest.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Files in the tree that the scanner watches over.
    #[arg(long, default_value_t = 10_000)]
    files: u64,
    /// Measure the programs of this profile, `release` or `dev`.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// A daemon of the fleet: its command line, with the port it is asked for its health on.
struct Kind {
    name: &'static str,
    args: fn(u16) -> Vec<String>,
}

const CONTROLLER: Kind = Kind {
    name: "fleet-controller",
    args: |port| words(&format!("serve --data-dir controller --listen 127.0.0.1:{port}")),
};

const SCANNER: Kind = Kind {
    name: "scanner",
    args: |port| {
        words(&format!(
            "run --config scanner.yaml --data-dir scanner --set health.enabled=true --set health.port={port}"
        ))
    },
};

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// What was measured of a daemon.
struct Figures {
    name: &'static str,
    /// Seconds from the start of the process to the first 200 of `/health/ready`, with a state that is there already.
    ready: f64,
    /// Processor seconds an hour, at rest.
    idle: f64,
    /// Resident memory at rest, in MB.
    resident: f64,
    /// Resident memory at its highest, in MB.
    highest: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "processes are looked at in /proc");
    // From here on a signal only ends the measuring, and the daemons are ended and the folder removed as ever.
    let mut interrupt = Interrupt::catch()?;
    let programs = process::programs(&args.profile)?;
    let home = tempfile::Builder::new()
        .prefix("shoal-bench-")
        .tempdir()
        .context("could not make a folder")?;
    let mut fleet = Fleet::new(fs::canonicalize(home.path())?, programs);
    let controller = fleet.serve()?;
    let token = fleet.join_token()?;
    let tree = fleet.home.join("tree");
    TreePlan {
        files: args.files,
        seed: 1,
    }
    .create(&tree)?;
    fleet.configure(&[&tree])?;
    fleet.scan(&token)?;
    let rows = [
        // The scanner first: its server is up meanwhile, and sees it alive.
        measure(&fleet, &SCANNER, args, &mut interrupt)?,
        {
            stop(controller)?;
            measure(&fleet, &CONTROLLER, args, &mut interrupt)?
        },
    ];
    print(&rows, args);
    for row in &rows {
        limit(row.name, "ready in under 1 s", row.ready, 1.0);
        limit(row.name, "memory under 100 MB", row.highest, 100.0);
    }
    Ok(())
}

fn measure(fleet: &Fleet, kind: &Kind, args: &Args, interrupt: &mut Interrupt) -> Result<Figures> {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..args.runs.max(1) {
        interrupt.check()?;
        if let Some(daemon) = last.take() {
            stop(daemon)?;
        }
        let (daemon, seconds) = start(fleet, kind)?;
        times.push(seconds);
        last = Some(daemon);
    }
    times.sort_by(f64::total_cmp);
    let daemon = last.context("nothing was started")?;
    eprintln!("{}: watched for {} s at rest …", kind.name, args.idle);
    // What the start itself set going, such as the first scan, shall be over.
    rest(Duration::from_secs(args.idle.min(10)), interrupt)?;
    let before = processor_seconds(daemon.id())?;
    let began = Instant::now();
    rest(Duration::from_secs(args.idle), interrupt)?;
    let used = processor_seconds(daemon.id())? - before;
    let figures = Figures {
        name: kind.name,
        ready: times[times.len() / 2],
        idle: used / began.elapsed().as_secs_f64() * 3600.0,
        resident: status_megabytes(daemon.id(), "VmRSS:")?,
        highest: status_megabytes(daemon.id(), "VmHWM:")?,
    };
    stop(daemon)?;
    Ok(figures)
}

/// Starts a daemon and waits until it says that it is ready.
fn start(fleet: &Fleet, kind: &Kind) -> Result<(Daemon, f64)> {
    let port = free_loopback_port()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let program = Program::at(fleet.programs.join(kind.name))
        .home(&fleet.home)
        .args((kind.args)(port))
        .own_group();
    let began = Instant::now();
    let daemon = program.start()?;
    while !http_get(address, "/health/ready").is_ok_and(|answer| answer.status == 200) {
        let lines = daemon.lines();
        let running = Path::new("/proc").join(daemon.id().to_string()).join("exe").exists();
        ensure!(
            running,
            "{} ended before it was ready:\n{}",
            kind.name,
            lines.join("\n")
        );
        ensure!(
            began.elapsed() < GUARD,
            "{} is not ready after {GUARD:?}:\n{}",
            kind.name,
            lines.join("\n")
        );
        thread::sleep(Duration::from_millis(1));
    }
    Ok((daemon, began.elapsed().as_secs_f64()))
}

fn stop(daemon: Daemon) -> Result<()> {
    let status = daemon.stop()?;
    ensure!(status.success(), "a daemon ended with {status}");
    Ok(())
}

fn rest(length: Duration, interrupt: &mut Interrupt) -> Result<()> {
    let until = Instant::now() + length;
    while Instant::now() < until {
        interrupt.check()?;
        thread::sleep(Duration::from_millis(200).min(length));
    }
    Ok(())
}

/// In what unit the kernel tells processor time to programs; the same on every machine we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process so far.
fn processor_seconds(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).context("the process is gone")?;
    ticks(&stat)
        .map(|ticks| ticks as f64 / TICKS_PER_SECOND)
        .with_context(|| format!("/proc/{id}/stat reads {stat:?}"))
}

/// `utime` and `stime` of a line of `/proc/PID/stat`. The name before them is in brackets and may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_megabytes(id: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("/proc/{id}/status has no {key}"))? / 1024.0)
}

fn print(rows: &[Figures], args: &Args) {
    let bar = if args.markdown { "|" } else { " " };
    println!("{bar} daemon           {bar} ready s {bar} idle CPU s/h {bar} RSS MB {bar} peak MB {bar}");
    if args.markdown {
        println!("| --- | ---: | ---: | ---: | ---: |");
    }
    for row in rows {
        println!(
            "{bar} {:16} {bar} {:7.3} {bar} {:12.1} {bar} {:6.1} {bar} {:7.1} {bar}",
            row.name, row.ready, row.idle, row.resident, row.highest
        );
    }
}

fn limit(name: &str, what: &str, value: f64, most: f64) {
    let word = if value < most { "pass" } else { "miss" };
    println!("{word}: {name}: {what}: {value:.2}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 100 0 0 0 37 5 0 0 20 0 4 0 12345 1 2 3";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("4711 (scanner) S 1"), None);
    }
}
