//! The daemons as they are most of their life: how soon they are ready, and what they cost while nothing happens.
use super::{
    procfs::{AtRest, rest, watch},
    site::{Site, is_linked, start_ready, stop, wait_linked},
};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, ensure};
use std::{net::SocketAddr, time::Duration};
use testkit::{Clamd, ClamdOptions, Daemon, Program, free_loopback_port};

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

/// What was measured of a daemon.
struct Row {
    name: &'static str,
    /// Seconds from the start of the process to the first 200 of `/health/ready`, with a state that is there already.
    ready: Option<f64>,
    at_rest: AtRest,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // From here on a signal only ends the measuring, and the daemons are ended and the folder removed as ever.
    let mut interrupt = Interrupt::catch()?;
    let (site, controller) = Site::with_scanner(&args.profile, args.files)?;
    stop(controller)?;
    let length = Duration::from_secs(args.idle);

    let (controller, controller_ready) = start_often(args, &mut interrupt, || Ok((site.controller(), site.address)))?;
    settle("the controller alone", args, &mut interrupt)?;
    let [alone] = watch([controller.id()], length, &mut interrupt)?;

    let mut health = site.address;
    let (scanner, scanner_ready) = start_often(args, &mut interrupt, || {
        let (program, address) = site.scanner(free_loopback_port()?);
        health = address;
        Ok((program, address))
    })?;
    wait_linked(health, &mut interrupt)?;
    settle("the scanner linked with the controller", args, &mut interrupt)?;
    let [linked, with_agent] = watch([scanner.id(), controller.id()], length, &mut interrupt)?;
    ensure!(is_linked(health)?, "the scanner lost its link while it was watched");
    stop(scanner)?;
    stop(controller)?;

    let reef = watch_reef(args, &site, &mut interrupt)?;
    let rows = [
        Row {
            name: "scanner, linked",
            ready: Some(scanner_ready),
            at_rest: linked,
        },
        reef,
        Row {
            name: "fleet-controller, no agent",
            ready: Some(controller_ready),
            at_rest: alone,
        },
        Row {
            name: "fleet-controller, one agent",
            ready: None,
            at_rest: with_agent,
        },
    ];
    print(&rows, args);
    for Row { name, ready, at_rest } in &rows {
        if let Some(ready) = ready {
            limit(name, "ready in under 1 s", *ready, 1.0);
        }
        limit(name, "memory under 100 MB", at_rest.highest, 100.0);
        // An hour has 3600 seconds of a processor.
        limit(name, "less than 1 % of a processor at rest", at_rest.idle / 36.0, 1.0);
    }
    Ok(())
}

/// reef-agent with a clamd that nobody else asks: it watches the tree, and waits for the night.
fn watch_reef(args: &Args, site: &Site, interrupt: &mut Interrupt) -> Result<Row> {
    let clamd = Clamd::start(ClamdOptions::default())?;
    let (agent, ready) = start_often(args, interrupt, || site.reef(&clamd, free_loopback_port()?))?;
    settle("reef-agent", args, interrupt)?;
    let [at_rest] = watch([agent.id()], Duration::from_secs(args.idle), interrupt)?;
    stop(agent)?;
    Ok(Row {
        name: "reef-agent, alone",
        ready: Some(ready),
        at_rest,
    })
}

/// Starts a daemon again and again. Gives the last, and the seconds that the start in the middle took.
fn start_often(
    args: &Args,
    interrupt: &mut Interrupt,
    mut program: impl FnMut() -> Result<(Program, SocketAddr)>,
) -> Result<(Daemon, f64)> {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..args.runs.max(1) {
        interrupt.check()?;
        if let Some(daemon) = last.take() {
            stop(daemon)?;
        }
        let (program, address) = program()?;
        let (daemon, seconds) = start_ready(program, address)?;
        times.push(seconds);
        last = Some(daemon);
    }
    times.sort_by(f64::total_cmp);
    Ok((last.context("nothing was started")?, times[times.len() / 2]))
}

/// What the start itself set going, such as the first scan, shall be over.
fn settle(what: &str, args: &Args, interrupt: &mut Interrupt) -> Result<()> {
    eprintln!("{what}: watched for {} s at rest …", args.idle);
    rest(Duration::from_secs(args.idle.min(10)), interrupt)
}

fn print(rows: &[Row], args: &Args) {
    let bar = if args.markdown { "|" } else { " " };
    println!(
        "{bar} {:27} {bar} ready s {bar} idle CPU s/h {bar} wake-ups/s {bar} RSS MB {bar} peak MB {bar}",
        "daemon"
    );
    if args.markdown {
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    }
    for Row { name, ready, at_rest } in rows {
        let ready = ready.map_or_else(String::new, |ready| format!("{ready:.3}"));
        println!(
            "{bar} {name:27} {bar} {ready:>7} {bar} {:12.1} {bar} {:10.1} {bar} {:6.1} {bar} {:7.1} {bar}",
            at_rest.idle, at_rest.wakeups, at_rest.resident, at_rest.highest
        );
    }
}

fn limit(name: &str, what: &str, value: f64, most: f64) {
    let word = if value < most { "pass" } else { "miss" };
    println!("{word}: {name}: {what}: {value:.2}");
}
