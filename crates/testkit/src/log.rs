//! What a running program prints: kept line by line, and waited for.
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Lines shown of a program that went wrong.
const TAIL: usize = 40;

/// The lines of both streams of one program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    open: usize,
}

/// What came after a given line.
pub(crate) struct News {
    pub(crate) lines: Vec<String>,
    /// Nothing will come any more.
    pub(crate) closed: bool,
}

impl Log {
    /// Reads `stream` to its end on a thread of its own, into this log and into `file`.
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static, file: &Path) -> Result<()> {
        let mut copy = File::create(file).with_context(|| format!("could not create `{}`", file.display()))?;
        self.state().open += 1;
        let log = self.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    // A full disk must not stop the program that we watch; the line is kept in memory all the same.
                    copy.write_all(&line).ok();
                    let text = String::from_utf8_lossy(&line);
                    log.state().lines.push(text.trim_end_matches(['\r', '\n']).to_owned());
                    log.shared.1.notify_all();
                    line.clear();
                }
                log.state().open -= 1;
                log.shared.1.notify_all();
            })
            .context("could not start a reader")?;
        Ok(())
    }

    /// Blocks until there are lines after the first `from`, or none can come, or `deadline` has come.
    pub(crate) fn after(&self, from: usize, deadline: Instant) -> News {
        let mut state = self.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.lines.len() > from || state.open == 0 || left.is_zero() {
                return News {
                    lines: state.lines.get(from..).unwrap_or_default().to_vec(),
                    closed: state.open == 0,
                };
            }
            let woken = self.shared.1.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Blocks until both streams have ended, or `deadline` has come.
    pub(crate) fn wait_closed(&self, deadline: Instant) {
        // There is no such line, so only an end is news.
        self.after(usize::MAX, deadline);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// The last lines, as a text.
    pub(crate) fn tail(&self) -> String {
        let state = self.state();
        let from = state.lines.len().saturating_sub(TAIL);
        state.lines[from..].join("\n")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
