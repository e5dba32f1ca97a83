//! A program that goes on until it is told to stop.
use crate::ending::{Guarded, Process};
use crate::http::http_get;
use crate::log::Log;
use crate::wait::{GUARD, PAUSE};
use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the last lines of an ended program may take through the pipe.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A running program. What it prints is kept, in files too; dropped, it is killed, and its last lines are shown when
/// the test is failing.
#[derive(Debug)]
pub struct Daemon {
    shown: String,
    child: Child,
    process: Process,
    log: Log,
    folder: TempDir,
    _home: Option<TempDir>,
    ended: bool,
}

impl Daemon {
    pub(crate) fn new(shown: String, mut child: Child, home: Option<TempDir>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("shoal-daemon-")
            .tempdir()
            .context("could not make a folder")?;
        let log = Log::default();
        if let Some(stdout) = child.stdout.take() {
            log.follow(stdout, &folder.path().join("stdout"))?;
        }
        if let Some(stderr) = child.stderr.take() {
            log.follow(stderr, &folder.path().join("stderr"))?;
        }
        Ok(Self {
            process: Process::of(&child)?,
            shown,
            child,
            log,
            folder,
            _home: home,
            ended: false,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds what it has printed to standard output.
    pub fn stdout_file(&self) -> PathBuf {
        self.folder.path().join("stdout")
    }

    /// The file that holds what it has printed to standard error.
    pub fn stderr_file(&self) -> PathBuf {
        self.folder.path().join("stderr")
    }

    /// Every line it has printed so far, of both streams, in the order they were read.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Whether it has closed its output, as a program does that has ended.
    pub fn has_ended(&self) -> bool {
        self.log.after(usize::MAX, Instant::now()).closed
    }

    /// Blocks until `find` finds something in a line that it has printed or will print.
    ///
    /// # Errors
    /// When it ends, or says nothing of the kind for [`GUARD`]; `what` names the thing waited for.
    pub fn wait_for<T>(&self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + GUARD;
        let mut from = 0;
        loop {
            let news = self.log.after(from, deadline);
            if let Some(found) = news.lines.iter().find_map(|line| find(line)) {
                return Ok(found);
            }
            from += news.lines.len();
            if news.closed {
                bail!("{} ended before {what}\n{}", self.shown, self.log.tail());
            }
            ensure!(
                Instant::now() < deadline,
                "{}: no {what} in {GUARD:?}\n{}",
                self.shown,
                self.log.tail()
            );
        }
    }

    /// Blocks until it prints a line that holds `text`, and returns that line.
    ///
    /// # Errors
    /// Those of [`wait_for`](Self::wait_for).
    pub fn wait_for_text(&self, text: &str) -> Result<String> {
        self.wait_for(&format!("`{text}`"), |line| {
            line.contains(text).then(|| line.to_owned())
        })
    }

    /// Blocks until `GET path` at `address` is answered by 200, and returns the body.
    ///
    /// # Errors
    /// When it ends, or does not answer so for [`GUARD`].
    pub fn wait_for_http(&self, address: SocketAddr, path: &str) -> Result<String> {
        self.wait_until(path, || match http_get(address, path) {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(format!("status {}", answer.status)),
            Err(error) => Err(format!("{error:#}")),
        })
    }

    /// Blocks until `look` gives something; until then it says why it does not.
    pub(crate) fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> Result<T> {
        let deadline = Instant::now() + GUARD;
        let mut from = 0;
        loop {
            let last = match look() {
                Ok(found) => return Ok(found),
                Err(last) => last,
            };
            // A line of its log is the likeliest sign that it has come further.
            let news = self.log.after(from, deadline.min(Instant::now() + PAUSE));
            from += news.lines.len();
            if news.closed {
                bail!("{} ended before it answered {what}\n{}", self.shown, self.log.tail());
            }
            ensure!(
                Instant::now() < deadline,
                "{}: {what}: {last}\n{}",
                self.shown,
                self.log.tail()
            );
        }
    }

    /// Asks it to end (SIGTERM) and returns how it did.
    ///
    /// # Errors
    /// When it had to be killed because it did not end within [`GUARD`].
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.process.terminate();
        self.end()
    }

    /// Blocks until it ends by itself or by somebody else's signal, however long that takes.
    ///
    /// # Errors
    /// When the system does not tell how it ended.
    pub fn attend(mut self) -> Result<ExitStatus> {
        self.process.wait();
        if cfg!(not(unix)) {
            // There is no waiting without reaping there; how it ended is told once more below.
            self.child.wait().ok();
        }
        self.end()
    }

    /// Blocks until it ends by itself.
    ///
    /// # Errors
    /// When it had to be killed because it did not end within [`GUARD`].
    pub fn wait(mut self) -> Result<ExitStatus> {
        self.end()
    }

    /// Ends it as a power failure would (SIGKILL), and returns once it is gone.
    ///
    /// # Errors
    /// When the system does not tell how it ended.
    pub fn kill_hard(mut self) -> Result<ExitStatus> {
        self.process.kill();
        self.end()
    }

    /// The folder that holds the files of its output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn end(&mut self) -> Result<ExitStatus> {
        let guarded = Guarded::new(&self.child, GUARD)?;
        self.process.wait();
        let in_time = guarded.finish();
        self.ended = true;
        let status = self
            .child
            .wait()
            .with_context(|| format!("could not wait for {}", self.shown))?;
        // Its last lines are still on their way; a child of its own that holds the pipes is not waited for.
        self.log.wait_closed(Instant::now() + LAST_LINES);
        ensure!(
            in_time,
            "{} did not end within {GUARD:?} and was killed\n{}",
            self.shown,
            self.log.tail()
        );
        Ok(status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.ended {
            self.process.kill();
            // Nothing can be done about a failure here, and nobody would hear of it.
            self.end().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- {}, its last lines:\n{}", self.shown, self.log.tail());
        }
    }
}
