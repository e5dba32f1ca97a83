//! What clamd is doing, and whether there is memory for what it does.
use crate::{scan::window_for, settings::ReefConfig};
use clamd_proto::{ClamError, Endpoint, Pool, Stats};
use core_model::{ByteSize, chain};
use daemon_kit::doctor::Finding;
use std::fs;

/// Whether clamd has threads left for the agent.
pub(super) fn load(stats: Result<&Stats, &ClamError>, config: &ReefConfig) -> Finding {
    const CHECK: &str = "clamd load";
    let stats = match stats {
        Ok(stats) => stats,
        Err(ClamError::TimedOut { after, .. }) => {
            let found = format!(
                "it did not say within {} s what it does: all of its threads are at work",
                after.as_secs()
            );
            let remedy =
                "see on what (`clamdtop`), and raise MaxThreads in clamd.conf where there are processors for it";
            return Finding::warning(CHECK, found, remedy);
        }
        Err(error) => {
            let remedy =
                "set `EnableStatsCommand yes` in clamd.conf: by what waits in its queue, scans give way to others";
            return Finding::warning(CHECK, chain(error), remedy);
        }
    };
    let threads: u32 = stats.pools.iter().map(|pool| pool.threads.max).sum();
    let waiting: u64 = stats.waiting();
    // The thread that answers is one of them.
    let jobs = stats.pools.iter().flat_map(|pool: &Pool| &pool.jobs);
    let at_work = jobs
        .filter(|job| !matches!(job.command.as_str(), "STATS" | "IDLE"))
        .count();
    let found = format!("{at_work} of at most {threads} threads at work, {waiting} jobs wait");
    let window = config.clamd.window.map(u32::from);
    if let Some(window) = window.filter(|window| *window < threads) {
        let found = format!("{found}; `clamd.window` lets the agent use {window} of them");
        return Finding::warning(
            CHECK,
            found,
            "leave `clamd.window` out: then it is at least four for each thread",
        );
    }
    // More than a scan of the agent's own leaves waiting.
    if waiting > window_for(threads as usize) as u64 {
        let remedy = "others have it scan, and files of the agent wait behind: raise MaxThreads in clamd.conf where there \
                      are processors for it, or run a clamd for the agent alone";
        return Finding::warning(CHECK, found, remedy);
    }
    Finding::ok(CHECK, found)
}

/// While clamd loads signatures anew, it holds both sets: that is when the kernel ends it for want of memory.
pub(super) fn memory(endpoint: &Endpoint, stats: &Stats) -> Option<Finding> {
    if !endpoint.passes_descriptors() {
        return None;
    }
    memory_of(stats.memory.pools_total?, &fs::read_to_string("/proc/meminfo").ok()?)
}

fn memory_of(signatures: u64, meminfo: &str) -> Option<Finding> {
    const CHECK: &str = "clamd memory";
    let kilobytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    let left = kilobytes("MemAvailable")?.saturating_add(kilobytes("SwapFree").unwrap_or(0)) * 1024;
    let (needed, free) = (ByteSize::new(signatures).human(), ByteSize::new(left).human());
    let found = format!("its signatures take {needed}; {free} of memory are left");
    Some(if left < signatures {
        let remedy = "while it loads new ones it takes as much again, and the kernel may end it: set \
                      `ConcurrentDatabaseReload no` in clamd.conf (it answers nothing meanwhile), or add memory";
        Finding::warning(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, found)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::config_of, *};
    use crate::settings::ClamdSettings;
    use daemon_kit::doctor::Verdict;
    use std::time::Duration;

    #[test]
    fn what_is_left_of_memory_is_compared_with_what_a_reload_takes() {
        let meminfo = "MemTotal:  9000000 kB\nMemAvailable:  1000000 kB\nSwapFree:  24 kB\n";
        let of = |bytes| memory_of(bytes, meminfo).unwrap().verdict;
        assert_eq!(of(1_000_024 * 1024), Verdict::Ok);
        assert_eq!(of(1_000_024 * 1024 + 1), Verdict::Warning);
        assert_eq!(memory_of(1, "MemTotal: 1 kB"), None);
    }

    #[test]
    fn a_queue_that_others_fill_and_a_window_that_is_too_small_are_warned_of() {
        let stats = |queue: u32| {
            let waits = if queue == 0 {
                ""
            } else {
                " min_wait: 2.0 max_wait: 2.5 avg_wait: 2.1"
            };
            let text = format!(
                "POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 3  idle 0 max 10 idle-timeout 30\n\
                 QUEUE: {queue} items{waits}\n\tSTATS 0.000001 \n\tFILDES 1.184575 fd[17]\n\tSCAN 0.5 /a\n\n\
                 MEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used 5.891M pools_total 5.972M\n\
                 END"
            );
            Stats::parse(text.as_bytes()).unwrap()
        };
        let config = config_of(ClamdSettings::default());
        let well = load(Ok(&stats(40)), &config);
        assert_eq!(
            (well.verdict, well.found.starts_with("2 of at most 10")),
            (Verdict::Ok, true),
            "{well:?}"
        );
        assert_eq!(load(Ok(&stats(41)), &config).verdict, Verdict::Warning);
        let silent = ClamError::TimedOut {
            what: "STATS",
            after: Duration::from_secs(10),
        };
        assert!(load(Err(&silent), &config).found.contains("within 10 s"));
        let narrow = config_of(ClamdSettings {
            window: Some(4),
            ..ClamdSettings::default()
        });
        assert!(load(Ok(&stats(0)), &narrow).found.contains("use 4 of them"));
    }
}
