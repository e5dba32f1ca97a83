//! What a process costs: processor time of itself and its children, time on the clock, memory at its highest.
use anyhow::{Context, Result, ensure};
use std::{
    process::{Command, Output, Stdio},
    time::Instant,
};

/// The cost of one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Processor seconds, user and system.
    pub(crate) cpu: f64,
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// Resident memory at its highest, in MB; 0 where it cannot be told.
    pub(crate) memory: f64,
    /// Its processor time as a multiple of that of the bare walk made right before it.
    pub(crate) ratio: f64,
}

impl Cost {
    /// Of several runs, what stands in the middle: each figure by itself.
    pub(crate) fn median(costs: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = costs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Self {
            cpu: middle(|cost| cost.cpu),
            wall: middle(|cost| cost.wall),
            memory: middle(|cost| cost.memory),
            ratio: middle(|cost| cost.ratio),
        }
    }
}

/// Of sorted figures, the one that such a share of them does not pass.
pub(super) fn share(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Runs it to its end, which must be one of `codes`; what it prints goes nowhere.
pub(crate) fn run(command: &mut Command, codes: &[i32]) -> Result<Cost> {
    run_and_read(command.stdout(Stdio::null()), codes).map(|(cost, _)| cost)
}

/// The same, with what it printed.
pub(crate) fn run_and_read(command: &mut Command, codes: &[i32]) -> Result<(Cost, Output)> {
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let before = children();
    let started = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("could not start {command:?}"))?;
    // The peak is read from the process itself while it runs: that of all children so far would not tell them apart.
    let peak = Peak::follow(child.id());
    let output = child
        .wait_with_output()
        .with_context(|| format!("could not wait for {command:?}"))?;
    let wall = started.elapsed().as_secs_f64();
    let code = output.status.code().unwrap_or(-1);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        codes.contains(&code),
        "{command:?} ended with {}: {said}",
        output.status
    );
    let cost = Cost {
        cpu: children() - before,
        wall,
        memory: peak.end(),
        ratio: 0.0,
    };
    Ok((cost, output))
}

/// Processor seconds of the children that have ended.
#[cfg(unix)]
fn children() -> f64 {
    use nix::sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    };
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}

#[cfg(not(unix))]
fn children() -> f64 {
    0.0
}

/// Watches a process's peak of resident memory.
struct Peak {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<f64>,
}

impl Peak {
    fn follow(id: u32) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut highest: f64 = 0.0;
            loop {
                // VmHWM only rises, so the last reading before the end is as good as the end's.
                highest = highest.max(high_water(id).unwrap_or(0.0));
                let pause = std::time::Duration::from_millis(10);
                if stopped.recv_timeout(pause) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return highest;
                }
            }
        });
        Self { stop, thread }
    }

    fn end(self) -> f64 {
        drop(self.stop);
        self.thread.join().unwrap_or(0.0)
    }
}

fn high_water(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}
