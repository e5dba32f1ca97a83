//! What the kernel tells of a process that runs: processor time, memory, how often its threads woke.
use crate::interrupt::Interrupt;
use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

/// How often threads are looked at. One that comes and goes between two looks is missed; tokio keeps its own for longer.
const LOOK: Duration = Duration::from_millis(500);

/// In what unit the kernel tells processor time to programs; the same on every machine we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process while nothing happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtRest {
    /// Processor seconds an hour.
    pub(super) idle: f64,
    /// How often a second one of its threads was put on a processor.
    pub(super) wakeups: f64,
    /// Resident memory at the end, in MB.
    pub(super) resident: f64,
    /// Resident memory at its highest since the start, in MB.
    pub(super) highest: f64,
}

/// Watches processes at the same time, for so long.
pub(super) fn watch<const N: usize>(ids: [u32; N], length: Duration, interrupt: &mut Interrupt) -> Result<[AtRest; N]> {
    let mut before = Vec::new();
    for id in ids {
        before.push((id, Threads::begin(id)?));
    }
    let began = Instant::now();
    while began.elapsed() < length {
        rest(LOOK.min(length.saturating_sub(began.elapsed())), interrupt)?;
        for (_, threads) in &mut before {
            threads.look()?;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut found = Vec::new();
    for (id, threads) in before {
        let used = threads.used();
        found.push(AtRest {
            idle: used.nanoseconds as f64 / 1e9 / seconds * 3600.0,
            wakeups: used.switches as f64 / seconds,
            resident: status_megabytes(id, "VmRSS:")?,
            highest: status_megabytes(id, "VmHWM:")?,
        });
    }
    <[AtRest; N]>::try_from(found).ok().context("a process was not watched")
}

/// Waits, unless somebody ends the measuring.
pub(super) fn rest(length: Duration, interrupt: &mut Interrupt) -> Result<()> {
    let until = Instant::now() + length;
    loop {
        interrupt.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(200)));
    }
}

/// User and system time of a process so far.
pub(super) fn processor_seconds(id: u32) -> Result<f64> {
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

/// A line of `/proc/PID/status` that tells of memory: `VmRSS:` or `VmHWM:`.
pub(super) fn status_megabytes(id: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("/proc/{id}/status has no {key}"))? / 1024.0)
}

/// What the threads of a process used, from one instant on.
struct Threads {
    id: u32,
    before: Used,
    /// By thread, what was last seen of it: those that have ended count on.
    seen: BTreeMap<String, Used>,
}

#[derive(Clone, Copy, Default)]
struct Used {
    /// On a processor. Counted exactly: `/proc/PID/stat` counts hundredths of a second, which is much for one at rest.
    nanoseconds: u64,
    switches: u64,
}

impl Threads {
    fn begin(id: u32) -> Result<Self> {
        let mut threads = Self {
            id,
            before: Used::default(),
            seen: BTreeMap::new(),
        };
        threads.look()?;
        threads.before = threads.sum();
        Ok(threads)
    }

    fn look(&mut self) -> Result<()> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id)).context("the process is gone")?;
        for thread in threads {
            let thread = thread.context("the process is gone")?;
            let read = |file| fs::read_to_string(thread.path().join(file));
            // A thread may end between the two.
            if let (Ok(status), Ok(schedule)) = (read("status"), read("schedstat")) {
                let used = Used {
                    nanoseconds: on_processor(&schedule).context("the kernel does not count what threads use")?,
                    switches: switches(&status),
                };
                self.seen
                    .insert(thread.file_name().to_string_lossy().into_owned(), used);
            }
        }
        Ok(())
    }

    fn sum(&self) -> Used {
        Used {
            nanoseconds: self.seen.values().map(|used| used.nanoseconds).sum(),
            switches: self.seen.values().map(|used| used.switches).sum(),
        }
    }

    /// Since the beginning.
    fn used(&self) -> Used {
        let now = self.sum();
        Used {
            nanoseconds: now.nanoseconds - self.before.nanoseconds,
            switches: now.switches - self.before.switches,
        }
    }
}

/// The first figure of a thread's `schedstat`: nanoseconds on a processor.
fn on_processor(schedule: &str) -> Option<u64> {
    schedule.split_whitespace().next()?.parse().ok()
}

/// Both kinds of context switches of a thread's status.
fn switches(status: &str) -> u64 {
    let lines = status.lines().filter_map(|line| {
        line.strip_prefix("voluntary_ctxt_switches:")
            .or_else(|| line.strip_prefix("nonvoluntary_ctxt_switches:"))
    });
    lines.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
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

    #[test]
    fn both_kinds_of_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(switches(status), 42);
    }

    #[test]
    fn the_time_on_a_processor_is_the_first_figure() {
        assert_eq!(on_processor("123456 789 10\n"), Some(123_456));
        assert_eq!(on_processor(""), None);
    }
}
