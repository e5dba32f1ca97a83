//! `cargo xtask soak kill`: the scanner killed as a power failure would, at random instants of its first scan and of later
//! ones, several times in a row. It must resume, and nothing may be lost, told twice or wrong.
use super::{Soak, host::Host};
use anyhow::{Context, Result, ensure};
use std::{thread, time::Instant};
use testkit::Random;

pub(super) const SOAK: Soak = Soak {
    name: "kill",
    iteration,
    changes: 2,
};

/// Even ones begin with no state at all, odd ones with one that the tree has moved on from.
fn iteration(host: &mut Host, random: &mut Random) -> Result<String> {
    let changed = host.change()?;
    let is_first = host.number.is_multiple_of(2);
    if !is_first {
        host.round(&["run", "--once"])?;
        host.check().context("before anything was killed")?;
        host.change()?;
    }
    // Killed somewhere in the time that it takes undisturbed.
    let undisturbed = host.duration(is_first);
    let mut instants = Vec::new();
    for _ in 0..=random.below(3) {
        let daemon = host.program(&["run", "--once"]).start()?;
        let instant = undisturbed.mul_f64(random.below(1000) as f64 / 1000.0);
        let began = Instant::now();
        thread::sleep(instant);
        let after = began.elapsed();
        let status = daemon.kill_hard()?;
        let killed = status.code().is_none();
        ensure!(
            killed || status.success(),
            "it ended with {status}, and not by our kill"
        );
        instants.push(format!(
            "{} ms{}",
            after.as_millis(),
            if killed { "" } else { " (too late)" }
        ));
    }
    let resumed = host.round(&["resume"])?;
    // Killed before the scan began, there is nothing to resume: the next run does the work.
    let mut ended = "resumed";
    if resumed.stdout().contains("no scan was interrupted") && host.check().is_err() {
        ended = "run again";
        host.round(&["run", "--once"])?;
    }
    let files = host
        .check()
        .with_context(|| format!("killed after {}, then {ended}", instants.join(", ")))?;
    let what = if is_first { "first scan" } else { "rescan" };
    Ok(format!(
        "{what} of {files} files ({changed} changed) killed after {}, {ended}",
        instants.join(", ")
    ))
}
