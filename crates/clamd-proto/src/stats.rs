//! The reply to `STATS`. The jobs in it name files, whose names may hold any bytes: line breaks, and whole lines of such
//! a reply. So what stands before the jobs is read from the left, what stands behind them from the right.
use crate::reply::ReplyError;
use std::time::Duration;

/// What clamd is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Its pools of threads; the first is the primary one, and most often the only one.
    pub pools: Vec<Pool>,
    /// Its memory.
    pub memory: Memory,
}

/// A pool of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Whether it takes work.
    pub state: PoolState,
    /// Whether it is the one that commands go to.
    pub is_primary: bool,
    /// Its threads.
    pub threads: Threads,
    /// What waits for them.
    pub queue: WaitingJobs,
    /// What they do.
    pub jobs: Vec<Job>,
}

/// Whether a pool takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// It does.
    Valid,
    /// It is ending.
    Exiting,
    /// It does not.
    Invalid,
}

/// The threads of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// How many there are.
    pub live: u32,
    /// How many of them have nothing to do.
    pub idle: u32,
    /// `MaxThreads`.
    pub max: u32,
    /// How long one may have nothing to do before it ends.
    pub idle_timeout: Duration,
}

/// What waits for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingJobs {
    /// How many.
    pub items: u32,
    /// How long they have waited; `None` when there are none.
    pub wait: Option<Waits>,
}

/// How long jobs have waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The one that came last.
    pub min: Duration,
    /// The one that came first.
    pub max: Duration,
    /// All of them.
    pub mean: Duration,
}

/// What a thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The command, or `IDLE`.
    pub command: String,
    /// For how long.
    pub running: Duration,
    /// To what: a path, or a descriptor as clamd numbers it; empty for most commands.
    pub about: Vec<u8>,
}

/// clamd's memory, in bytes; `None` where it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The heap.
    pub heap: Option<u64>,
    /// Mapped memory of the allocator.
    pub mapped: Option<u64>,
    /// What of them is in use.
    pub used: Option<u64>,
    /// What of them is not.
    pub free: Option<u64>,
    /// What could be given back to the system.
    pub releasable: Option<u64>,
    /// How many pools the signatures lie in.
    pub pools: Option<u32>,
    /// What the signatures take of them.
    pub pools_used: Option<u64>,
    /// What the pools take.
    pub pools_total: Option<u64>,
}

/// What stands between the pools and the memory.
const MEMORY: &[u8] = b"\nMEMSTATS: ";
const MIB: f64 = 1024.0 * 1024.0;
/// More pools than any clamd has.
const MOST_POOLS: usize = 1000;

impl Stats {
    /// Reads the reply to `STATS`.
    ///
    /// # Errors
    /// When it is no such reply.
    pub fn parse(reply: &[u8]) -> Result<Self, ReplyError> {
        read(reply).ok_or_else(|| ReplyError::new(reply))
    }

    /// How many jobs wait for a thread, in all pools.
    pub fn waiting(&self) -> u64 {
        self.pools.iter().map(|pool| u64::from(pool.queue.items)).sum()
    }
}

fn read(reply: &[u8]) -> Option<Stats> {
    let reply = reply.strip_suffix(b"\n").unwrap_or(reply);
    let body = reply.strip_suffix(b"\nEND")?;
    let at = body.windows(MEMORY.len()).rposition(|window| window == MEMORY)?;
    let memory = memory(std::str::from_utf8(&body[at + MEMORY.len()..]).ok()?)?;
    let (first, pools) = line(&body[..at])?;
    let count: usize = std::str::from_utf8(first)
        .ok()?
        .strip_prefix("POOLS: ")?
        .trim()
        .parse()
        .ok()?;
    if count == 0 || count > MOST_POOLS {
        return None;
    }
    let pools = pools.strip_prefix(b"\n")?;
    let parts = if count == 1 { vec![pools] } else { parts(pools) };
    let pools: Vec<Pool> = parts.into_iter().map(pool).collect::<Option<_>>()?;
    (pools.len() == count).then_some(Stats { pools, memory })
}

/// The pools' texts, where there is more than one. A job's path that holds a pool's first line makes one too many,
/// which is an error and no lie.
fn parts(pools: &[u8]) -> Vec<&[u8]> {
    const FIRST: &[u8] = b"\nSTATE: ";
    let starts = pools.windows(FIRST.len()).enumerate();
    let mut starts: Vec<usize> = starts
        .filter(|(_, window)| *window == FIRST)
        .map(|(at, _)| at + 1)
        .collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([pools.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &pools[*start..end])
        .collect()
}

/// The first line, without its end, and what follows.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..at], &text[at + 1..]))
}

fn pool(text: &[u8]) -> Option<Pool> {
    let (state, rest) = line(text)?;
    let (threads, rest) = line(rest)?;
    let (queue, jobs) = line(rest)?;
    let mut state = std::str::from_utf8(state)
        .ok()?
        .strip_prefix("STATE: ")?
        .split_ascii_whitespace();
    let is_valid = match state.next()? {
        "VALID" => PoolState::Valid,
        "EXIT" => PoolState::Exiting,
        "INVALID" => PoolState::Invalid,
        _ => return None,
    };
    Some(Pool {
        state: is_valid,
        is_primary: state.next() == Some("PRIMARY"),
        threads: read_threads(std::str::from_utf8(threads).ok()?.strip_prefix("THREADS: ")?)?,
        queue: read_queue(std::str::from_utf8(queue).ok()?.strip_prefix("QUEUE: ")?)?,
        jobs: read_jobs(jobs)?,
    })
}

/// The value behind a word.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut words = text.split_ascii_whitespace();
    words.find(|found| *found == word)?;
    words.next()
}

fn read_threads(text: &str) -> Option<Threads> {
    let number = |word| after(text, word)?.parse().ok();
    Some(Threads {
        live: number("live")?,
        idle: number("idle")?,
        max: number("max")?,
        idle_timeout: Duration::from_secs(number("idle-timeout")?.into()),
    })
}

fn read_queue(text: &str) -> Option<WaitingJobs> {
    let (items, rest) = text.split_once(" items")?;
    let wait = |word| seconds(after(rest, word)?);
    let wait = if rest.contains("min_wait:") {
        Some(Waits {
            min: wait("min_wait:")?,
            max: wait("max_wait:")?,
            mean: wait("avg_wait:")?,
        })
    } else {
        None
    };
    Some(WaitingJobs {
        items: items.parse().ok()?,
        wait,
    })
}

/// A time. One that began after clamd's thread looked at the clock is some microseconds below zero, which is none.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    if seconds.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// The jobs, one a line; what does not begin as a job does goes on with the path before it.
fn read_jobs(text: &[u8]) -> Option<Vec<Job>> {
    let mut jobs: Vec<Job> = Vec::new();
    // The line break behind the last job, and the empty line behind them all.
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Some(jobs);
    }
    for line in text.split(|byte| *byte == b'\n') {
        match (job(line), jobs.last_mut()) {
            (Some(job), _) => jobs.push(job),
            (None, Some(before)) => {
                before.about.push(b'\n');
                before.about.extend_from_slice(line);
            }
            (None, None) => return None,
        }
    }
    Some(jobs)
}

fn job(line: &[u8]) -> Option<Job> {
    let mut words = line.strip_prefix(b"\t")?.splitn(3, |byte| *byte == b' ');
    let command = std::str::from_utf8(words.next()?)
        .ok()
        .filter(|word| !word.is_empty())?;
    Some(Job {
        command: command.to_owned(),
        running: seconds(std::str::from_utf8(words.next()?).ok()?)?,
        about: words.next()?.to_vec(),
    })
}

fn memory(text: &str) -> Option<Memory> {
    // Unknown is `N/A`, which is not the same as a word that is missing or odd.
    let bytes = |word| match after(text, word)? {
        "N/A" => Some(None),
        value => {
            let mib: f64 = value.strip_suffix('M')?.parse().ok()?;
            (mib.is_finite() && mib >= 0.0).then_some(Some((mib * MIB) as u64))
        }
    };
    let pools = match after(text, "pools")? {
        "N/A" => None,
        value => Some(value.parse().ok()?),
    };
    Some(Memory {
        heap: bytes("heap")?,
        mapped: bytes("mmap")?,
        used: bytes("used")?,
        free: bytes("free")?,
        releasable: bytes("releasable")?,
        pools,
        pools_used: bytes("pools_used")?,
        pools_total: bytes("pools_total")?,
    })
}

#[cfg(test)]
mod tests;
