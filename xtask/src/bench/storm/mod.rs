//! A crowd of agents whose controller goes and comes back: when each is linked again, and what that costs.
mod returns;

use super::{
    procfs::{processor_seconds, rest, status_megabytes},
    site::{Site, start_ready, stop},
};
use crate::{interrupt::Interrupt, process};
use anyhow::{Context, Result, ensure};
use returns::Returns;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};
use testkit::{Daemon, Program};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Agents, each with its own key, state and link, all in one process.
    #[arg(long, default_value_t = 500)]
    agents: usize,
    /// Seconds that the controller is away, besides the time that its end and its start take; several by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 30])]
    away: Vec<u64>,
    /// Seconds that all agents are linked before the controller goes. A link that lasted a minute makes good what failed
    /// before it.
    #[arg(long, default_value_t = 65)]
    settled: u64,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// How soon all agents are to be back.
const LIMIT: Duration = Duration::from_secs(60);

/// When those that are not back are given up.
const PATIENCE: Duration = Duration::from_secs(180);

/// How the controller goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGTERM: it says good-bye to every agent.
    Terminated,
    /// SIGKILL.
    Killed,
}

/// What was measured of one absence.
struct Case {
    name: String,
    /// Seconds from the signal to the controller being ready again.
    down: f64,
    returns: Returns,
    controller: Cost,
    agents: Cost,
}

/// Of a process, while the agents came back.
struct Cost {
    /// Processor seconds.
    cpu: f64,
    /// Resident memory at its highest so far, in MB.
    highest: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut interrupt = Interrupt::catch()?;
    raise_open_files()?;
    let crowd = build_crowd()?;
    let (site, controller) = Site::new("release")?;
    let agents = start_crowd(&site, &crowd, args.agents)?;
    let began = now();
    let linked = wait_for_all(&agents, args.agents, began, began, &mut interrupt)?;
    ensure!(
        linked.back.len() == args.agents,
        "only {} of {} agents could be linked:\n{}",
        linked.back.len(),
        args.agents,
        agents.lines().last().cloned().unwrap_or_default()
    );
    let mut controller = Some(controller);
    let mut cases = Vec::new();
    for away in &args.away {
        for end in [End::Terminated, End::Killed] {
            eprintln!("{} agents are linked; waiting for {} s …", args.agents, args.settled);
            rest(Duration::from_secs(args.settled), &mut interrupt)?;
            let before = controller.take().context("there is no controller")?;
            let (case, after) = absence(&site, before, &agents, end, *away, args.agents, &mut interrupt)?;
            controller = Some(after);
            cases.push(case);
        }
    }
    stop(agents)?;
    controller.map_or(Ok(()), stop)?;
    print(&cases, args);
    for case in &cases {
        judge(case, args.agents);
    }
    Ok(())
}

/// The controller goes and comes back.
fn absence(
    site: &Site,
    controller: Daemon,
    agents: &Daemon,
    end: End,
    away: u64,
    count: usize,
    interrupt: &mut Interrupt,
) -> Result<(Case, Daemon)> {
    let word = match end {
        End::Terminated => "SIGTERM",
        End::Killed => "SIGKILL",
    };
    let name = if away == 0 {
        format!("{word}, started at once")
    } else {
        format!("{word}, away for {away} s")
    };
    eprintln!("{name} …");
    let cpu_before = processor_seconds(agents.id())?;
    let gone = now();
    match end {
        End::Terminated => stop(controller)?,
        End::Killed => drop(controller.kill_hard()?),
    }
    rest(Duration::from_secs(away), interrupt)?;
    let (controller, _) = start_ready(site.controller(), site.address)?;
    let ready = now();
    let returns = wait_for_all(agents, count, gone, ready, interrupt)?;
    let case = Case {
        name,
        down: ready - gone,
        returns,
        controller: Cost {
            cpu: processor_seconds(controller.id())?,
            highest: status_megabytes(controller.id(), "VmHWM:")?,
        },
        agents: Cost {
            cpu: processor_seconds(agents.id())? - cpu_before,
            highest: status_megabytes(agents.id(), "VmHWM:")?,
        },
    };
    Ok((case, controller))
}

/// Waits until all are back, or for as long as it makes sense.
fn wait_for_all(agents: &Daemon, count: usize, gone: f64, ready: f64, interrupt: &mut Interrupt) -> Result<Returns> {
    let began = Instant::now();
    loop {
        let returns = Returns::read(&agents.lines(), gone, ready);
        if returns.back.len() >= count || began.elapsed() > PATIENCE {
            return Ok(returns);
        }
        rest(Duration::from_millis(200), interrupt)?;
    }
}

/// Builds the program that the agents live in.
fn build_crowd() -> Result<PathBuf> {
    // With the whole workspace, or its dependencies would be built once more with fewer features.
    let build = ["build", "--release", "--workspace", "--bins", "--example", "storm"];
    process::run(process::cargo(&build))?;
    let metadata = process::metadata()?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("release").join("examples").join("storm"))
}

fn start_crowd(site: &Site, crowd: &Path, count: usize) -> Result<Daemon> {
    let uses = count.to_string();
    let args = ["join-tokens", "create", "--name", "storm", "--uses", &uses];
    let created = site
        .fleet
        .client(&[&args[..], &["--output", "json"]].concat())?
        .json()?;
    let token = created["token"].as_str().context("no join token")?;
    fs::write(site.home().join("storm.token"), token).context("could not write the token")?;
    eprintln!("{count} agents enrol …");
    Program::at(crowd)
        .home(site.home())
        // What they keep goes with the folder, however they end.
        .env("TMPDIR", site.home())
        .args([site.fleet.url.as_str(), "storm.token", &uses])
        .own_group()
        .start()
}

/// Agents and controller open a file or more for each agent, and many systems let a process have 1,024 unless it asks.
#[cfg(unix)]
fn raise_open_files() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("could not ask for the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("could not raise the limit of open files")
}

#[cfg(not(unix))]
fn raise_open_files() -> Result<()> {
    Ok(())
}

/// Seconds since 1970, as the agents say them.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn print(cases: &[Case], args: &Args) {
    let bar = if args.markdown { "|" } else { " " };
    println!(
        "{bar} {:26} {bar} down s {bar} first s {bar} median s {bar} p95 s {bar} last s {bar} fullest second {bar} in \
         vain {bar} refused {bar} twice {bar}",
        format!("{} agents", args.agents)
    );
    if args.markdown {
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    }
    for case in cases {
        let returns = &case.returns;
        println!(
            "{bar} {:26} {bar} {:6.1} {bar} {:7.2} {bar} {:8.2} {bar} {:5.1} {bar} {:6.1} {bar} {:12.0} % {bar} {:7} \
             {bar} {:7} {bar} {:5} {bar}",
            case.name,
            case.down,
            returns.after(0.0),
            returns.after(0.5),
            returns.after(0.95),
            returns.after(1.0),
            returns.fullest(),
            returns.in_vain,
            returns.refusals(),
            returns.refused_twice(),
        );
    }
    println!();
    println!(
        "{bar} {:26} {bar} controller CPU s {bar} peak MB {bar} agents CPU s {bar} peak MB {bar}",
        "until all are back"
    );
    if args.markdown {
        println!("| --- | ---: | ---: | ---: | ---: |");
    }
    for case in cases {
        println!(
            "{bar} {:26} {bar} {:16.2} {bar} {:7.0} {bar} {:12.2} {bar} {:7.0} {bar}",
            case.name, case.controller.cpu, case.controller.highest, case.agents.cpu, case.agents.highest
        );
    }
    println!();
    for case in cases {
        let counts: Vec<String> = case.returns.by_second().iter().map(ToString::to_string).collect();
        println!("{}, arrivals by second: {}", case.name, counts.join(" "));
        for (reason, times) in &case.returns.reasons {
            println!("{}, refused {times} times: {reason}", case.name);
        }
    }
    println!();
}

fn judge(case: &Case, agents: usize) {
    let returns = &case.returns;
    let say = |is_met: bool, what: &str, value: String| {
        let word = if is_met { "pass" } else { "miss" };
        println!("{word}: {}: {what}: {value}", case.name);
    };
    let back = returns.back.len();
    say(back == agents, "all agents are back", format!("{back} of {agents}"));
    let twice = returns.refused_twice();
    say(twice == 0, "none was refused twice", twice.to_string());
    let last = returns.after(1.0);
    let limit = LIMIT.as_secs_f64();
    say(last <= limit, "back within 60 s", format!("{last:.1} s"));
}
