//! `cargo xtask soak`: a randomised test, many more times than the checks run it.
mod corrupt;
mod files;
mod host;
mod kill;
#[cfg(target_os = "linux")]
mod malware;
mod mutate;
#[cfg(target_os = "linux")]
mod reef;
#[cfg(target_os = "linux")]
mod verdicts;
#[cfg(target_os = "linux")]
mod watched;

use crate::process;
use anyhow::{Result, ensure};
use host::Host;
use std::ops::Range;
use testkit::Random;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Scans of randomly changing trees, compared with a plain model; some 400 mutations each.
    Scan(Repeat),
    /// Parsers of outside input, over mutations of the corpus of each fuzz target.
    Fuzz(FuzzArgs),
    /// The scanner killed at random instants: it resumes, and nothing is lost, doubled or wrong.
    Kill(HostArgs),
    /// The scanner's state damaged at random places: it recovers, and the server's picture is true.
    Corrupt(HostArgs),
    /// The agent for malware, while clamd, files, connections and itself are killed, stopped, changed and forbidden.
    Malware(MalwareArgs),
    /// Clean files that become infected behind a scan's back: the next one finds each.
    Verdicts(VerdictArgs),
    /// Malware in bursts in a directory that a running agent watches: each is told and taken away, and nothing else.
    Watched(WatchedArgs),
}

/// How often, and where the randomness begins.
#[derive(clap::Args)]
pub(crate) struct Repeat {
    /// How many.
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// Where the randomness begins; the same seed does the same again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(clap::Args)]
pub(crate) struct FuzzArgs {
    /// How many mutations of each target.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Where the randomness begins; the same seed does the same again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    repeat: Repeat,
    /// How many files the tree has at first.
    #[arg(long, default_value_t = 100_000)]
    files: u64,
    /// Only this iteration, with the tree that those before it leave.
    #[arg(long, value_name = "N")]
    only: Option<u64>,
    /// Use the programs of this profile, `release` or `dev`.
    #[arg(long, default_value = "release")]
    profile: String,
}

#[derive(clap::Args)]
pub(crate) struct MalwareArgs {
    /// How many files, in as many rounds as that takes.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Where the randomness begins; the same seed plans the same again, while scans run at other instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many files the tree of one round has.
    #[arg(long, default_value_t = 2_000)]
    files: u64,
    /// How much goes wrong in each round, at most.
    #[arg(long, default_value_t = 40)]
    events: u64,
    /// Only this round.
    #[arg(long, value_name = "N")]
    only: Option<u64>,
    /// Use the programs of this profile, `release` or `dev`.
    #[arg(long, default_value = "release")]
    profile: String,
}

#[derive(clap::Args)]
pub(crate) struct VerdictArgs {
    /// How many mutations.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Where the randomness begins; the same seed makes the same mutations again, while scans run at other instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use the programs of this profile, `release` or `dev`.
    #[arg(long, default_value = "release")]
    profile: String,
}

#[derive(clap::Args)]
pub(crate) struct WatchedArgs {
    /// How many infected files.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Where the randomness begins; the same seed drops the same again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use the programs of this profile, `release` or `dev`.
    #[arg(long, default_value = "release")]
    profile: String,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Scan(repeat) => {
            let mut test = test_of("fsscan", "soak");
            test.env("FSSCAN_TREES", repeat.count.to_string())
                .env("FSSCAN_SEED", repeat.seed.to_string());
            process::run(test)
        }
        Command::Fuzz(args) => {
            let mut test = test_of("fuzz", "no_input_of_a_corpus");
            test.env("FUZZ_COUNT", args.count.to_string())
                .env("FUZZ_SEED", args.seed.to_string());
            if let Some(target) = &args.target {
                test.env("FUZZ_TARGET", target);
            }
            process::run(test)
        }
        Command::Kill(args) => on_a_host(&kill::SOAK, args),
        Command::Corrupt(args) => on_a_host(&corrupt::SOAK, args),
        Command::Malware(args) => while_all_goes_wrong(args),
        Command::Verdicts(args) => behind_its_back(args),
        Command::Watched(args) => before_its_eyes(args),
    }
}

#[cfg(target_os = "linux")]
fn while_all_goes_wrong(args: &MalwareArgs) -> Result<()> {
    ensure!(args.count > 0 && args.files > 0, "nothing to do");
    let plan = malware::Plan {
        program: process::programs(&args.profile)?.join("reef-agent"),
        seed: args.seed,
        files: args.files,
        events: args.events,
    };
    let rounds = args.count.div_ceil(args.files);
    let numbers = args.only.map_or(0..rounds, |only| only..only + 1);
    let began = std::time::Instant::now();
    let done = malware::soak(&plan, numbers)?;
    let took = began.elapsed().as_secs_f64();
    println!("malware of seed {}, {took:.0} s: {done}", args.seed);
    done.is_timely()
}

#[cfg(not(target_os = "linux"))]
fn while_all_goes_wrong(_: &MalwareArgs) -> Result<()> {
    anyhow::bail!("this soak is written for Linux")
}

#[cfg(target_os = "linux")]
fn behind_its_back(VerdictArgs { count, seed, profile }: &VerdictArgs) -> Result<()> {
    ensure!(*count > 0, "nothing to do");
    let agent = process::programs(profile)?.join("reef-agent");
    let began = std::time::Instant::now();
    let done = verdicts::soak(agent, *count, *seed)?;
    println!(
        "verdicts of seed {seed}, {:.0} s: {done}",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn behind_its_back(_: &VerdictArgs) -> Result<()> {
    anyhow::bail!("this soak is written for Linux")
}

#[cfg(target_os = "linux")]
fn before_its_eyes(WatchedArgs { count, seed, profile }: &WatchedArgs) -> Result<()> {
    ensure!(*count > 0, "nothing to do");
    let agent = process::programs(profile)?.join("reef-agent");
    let began = std::time::Instant::now();
    let done = watched::soak(agent, *count, *seed)?;
    println!("watched of seed {seed}, {:.0} s: {done}", began.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn before_its_eyes(_: &WatchedArgs) -> Result<()> {
    anyhow::bail!("this soak is written for Linux")
}

/// The tests of a package whose names hold `name`, optimised.
fn test_of(package: &str, name: &str) -> std::process::Command {
    process::cargo(&[
        "test",
        "--release",
        "-p",
        package,
        "--test",
        "it",
        name,
        "--",
        "--nocapture",
    ])
}

/// What is repeated on a host.
struct Soak {
    name: &'static str,
    /// One iteration; says in a few words what was done.
    iteration: fn(&mut Host, &mut Random) -> Result<String>,
    /// How often each iteration changes the tree, at most.
    changes: u64,
}

fn on_a_host(soak: &Soak, args: &HostArgs) -> Result<()> {
    let HostArgs {
        repeat: Repeat { count, seed },
        files,
        only,
        ref profile,
    } = *args;
    let name = soak.name;
    ensure!(count > 0 && files > 0, "nothing to do");
    let programs = process::programs(profile)?;
    eprintln!("{name}: seed {seed}, a tree of {files} files");
    let mut host = Host::new(programs.join("scanner"), files, seed)?;
    let numbers = only.map_or(0..count, |only| only..only + 1);
    iterate(soak, &mut host, numbers, seed).map_err(|(number, error)| {
        let kept = host.keep();
        error.context(format!(
            "iteration {number} failed; what it left lies in {}; to repeat it: cargo xtask soak {name} --seed {seed} \
             --files {files} --only {number} --profile {profile}",
            kept.display(),
        ))
    })?;
    println!("{name}: {count} iterations of seed {seed}: nothing wrong");
    Ok(())
}

/// Iterations by number. Each has randomness of its own, so that one can be repeated alone: of those before it only the
/// changes to the tree are made.
fn iterate(soak: &Soak, host: &mut Host, numbers: Range<u64>, seed: u64) -> Result<(), (u64, anyhow::Error)> {
    for number in 0..numbers.end {
        let of_this = |error| (number, error);
        // Made from two numbers by way of a third: the sequences of neighbours would else be the same, shifted by one.
        let mut random = Random::new(Random::new(seed ^ number.rotate_left(32)).next_u64());
        host.begin(number, Random::new(random.next_u64())).map_err(of_this)?;
        if numbers.contains(&number) {
            let said = (soak.iteration)(host, &mut random).map_err(of_this)?;
            eprintln!("{number:5}: {said}");
        }
        // The next one finds the same tree whatever this one did.
        host.change_until(soak.changes).map_err(of_this)?;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// A few iterations on a small tree, with the programs that the tests of the workspace use.
    fn check(soak: &Soak, count: u64, files: u64, seed: u64) {
        let mut host = Host::new(testkit::binary("scanner").unwrap(), files, seed).unwrap();
        if let Err((number, error)) = iterate(soak, &mut host, 0..count, seed) {
            panic!("iteration {number} of seed {seed}: {error:#}");
        }
    }

    #[test]
    fn a_scanner_that_is_killed_at_any_instant_resumes_and_loses_nothing() {
        check(&kill::SOAK, 4, 600, 1);
    }

    #[test]
    fn a_scanner_whose_state_is_damaged_recovers_and_tells_the_truth() {
        check(&corrupt::SOAK, 12, 300, 1);
    }
}
