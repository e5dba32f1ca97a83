//! The thread that writes the log file, so that nobody waits for a disk.
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// So much may wait for the disk: a few seconds of a very busy log, or the time it takes to pack a file.
const MAX_WAITING: usize = 16 << 20;

/// So long the end of the process waits for what is not written yet. A disk that hangs must not keep a process alive.
const AT_THE_END: Duration = Duration::from_secs(5);

/// Between two lines about lines that are missing.
const BETWEEN_NEWS: TimeDelta = TimeDelta::seconds(10);

/// Writes lines into a file until it is dropped, which writes what is still waiting.
pub(crate) struct FileThread {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// No more lines come.
    is_over: bool,
    /// The thread is done with those that came.
    is_written: bool,
}

#[derive(Default)]
struct Told {
    lines: u64,
    at: Option<DateTime<Utc>>,
}

/// Takes lines for the file. Never waits: a line for which there is no room is counted and gone.
#[derive(Clone)]
pub(crate) struct LineWriter(Arc<Shared>);

/// How many lines are missing from the file.
#[derive(Clone)]
pub(crate) struct Losses(Arc<Shared>);

impl FileThread {
    /// Hands what comes to `file`, each line in a call of its own.
    pub(crate) fn start(file: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let work = move || {
            of_thread.write(file);
            of_thread.lock().is_written = true;
            of_thread.changed.notify_all();
        };
        thread::Builder::new().name("log-file".to_owned()).spawn(work)?;
        Ok(Self { shared })
    }

    pub(crate) fn lines(&self) -> LineWriter {
        LineWriter(Arc::clone(&self.shared))
    }

    pub(crate) fn losses(&self) -> Losses {
        Losses(Arc::clone(&self.shared))
    }
}

impl Drop for FileThread {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        waiting.is_over = true;
        self.shared.changed.notify_all();
        let (waiting, _) = self
            .shared
            .changed
            .wait_timeout_while(waiting, AT_THE_END, |waiting| !waiting.is_written)
            .unwrap_or_else(PoisonError::into_inner);
        let (is_written, unwritten) = (waiting.is_written, waiting.lines.len() as u64);
        drop(waiting);
        let missing = self.shared.lost.load(Relaxed) + unwritten;
        // Nobody logs any more: stderr is the place left.
        if missing > 0 {
            writeln!(io::stderr(), "{missing} lines are missing from the log file").ok();
        } else if !is_written {
            writeln!(
                io::stderr(),
                "the last lines may be missing from the log file: its disk does not answer"
            )
            .ok();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A queue of lines is whole after any panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut file: impl Write) {
        // Lines that the file took and may still hold.
        let mut held = 0;
        loop {
            let lines = {
                let waiting = self.lock();
                let mut waiting = self
                    .changed
                    .wait_while(waiting, |waiting| waiting.lines.is_empty() && !waiting.is_over)
                    .unwrap_or_else(PoisonError::into_inner);
                if waiting.lines.is_empty() {
                    self.lost.fetch_add(held, Relaxed);
                    return;
                }
                std::mem::take(&mut waiting.lines)
            };
            for line in lines {
                // What is being written still counts as waiting, so that the bound holds for all of it.
                let done = file.write_all(&line);
                self.lock().bytes -= line.len();
                match done {
                    Ok(()) => held += 1,
                    Err(_) => {
                        self.lost.fetch_add(1, Relaxed);
                    }
                }
            }
            // What could not be flushed is tried again with the next lines.
            if file.flush().is_ok() {
                held = 0;
            }
        }
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shared = &*self.0;
        let mut waiting = shared.lock();
        // A line that is longer than the bound by itself passes when nothing waits.
        let fits = waiting.bytes == 0 || waiting.bytes + line.len() <= MAX_WAITING;
        if fits && !waiting.is_over {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.to_owned());
            drop(waiting);
            shared.changed.notify_one();
        } else {
            shared.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Losses {
    /// Since the start.
    pub(crate) fn lines(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    /// The same, where it is news and the last news is not of this moment.
    pub(crate) fn news(&self, now: DateTime<Utc>) -> Option<u64> {
        let lines = self.lines();
        if lines == 0 {
            return None;
        }
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not silence it.
        let is_recent = told.at.is_some_and(|at| (now - at).abs() < BETWEEN_NEWS);
        if lines == told.lines || is_recent {
            return None;
        }
        *told = Told { lines, at: Some(now) };
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::BufWriter};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_waits_is_written_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let thread = FileThread::start(BufWriter::new(File::create(&path).unwrap())).unwrap();
        let mut lines = thread.lines();
        (0..10_000).for_each(|n| lines.write_all(format!("{n}\n").as_bytes()).unwrap());
        let losses = thread.losses();
        drop(thread);
        let expected: String = (0..10_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
        assert_eq!(losses.lines(), 0);
        lines.write_all(b"too late").unwrap();
        assert_eq!(losses.lines(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_loses_no_line_uncounted() {
        let full = File::options().append(true).open("/dev/full").unwrap();
        let thread = FileThread::start(BufWriter::new(full)).unwrap();
        let (mut lines, losses) = (thread.lines(), thread.losses());
        (0..10_000).for_each(|n| lines.write_all(format!("line {n}\n").as_bytes()).unwrap());
        drop(thread);
        assert_eq!(losses.lines(), 10_000);
    }

    #[cfg(unix)]
    #[test]
    fn a_disk_that_hangs_costs_lines_beyond_the_bound_and_no_time() {
        let (keep, file) = std::os::unix::net::UnixStream::pair().unwrap();
        let thread = FileThread::start(file).unwrap();
        let (mut lines, losses) = (thread.lines(), thread.losses());
        let line = vec![b'x'; 1 << 20];
        let count = 3 * (MAX_WAITING >> 20) as u64;
        // Nobody reads at the other end, so the first lines hang in the kernel.
        (0..count).for_each(|_| lines.write_all(&line).unwrap());
        assert_eq!(losses.lines(), count - (MAX_WAITING >> 20) as u64);
        drop(keep);
        drop(thread);
        assert_eq!(losses.lines(), count, "what hung could not be written either");
    }

    #[test]
    fn losses_are_news_when_they_grow_and_not_too_often() {
        let losses = Losses(Arc::default());
        assert_eq!(losses.news(at("2026-01-01T00:00:00Z")), None);
        losses.0.lost.store(3, Relaxed);
        assert_eq!(losses.news(at("2026-01-01T00:00:01Z")), Some(3));
        losses.0.lost.store(5, Relaxed);
        assert_eq!(losses.news(at("2026-01-01T00:00:02Z")), None, "just told");
        assert_eq!(losses.news(at("2026-01-01T00:00:11Z")), Some(5));
        assert_eq!(losses.news(at("2026-01-01T00:01:00Z")), None, "no more since");
    }
}
