//! Runs a program's asynchronous part, and ends the process whatever still hangs in it.

use crate::exit::Exit;
use anyhow::Context as _;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::warn;

/// The threads that the asynchronous part of a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Threads for what does not block, beside the calling one. With none the calling one does all of it, and no thread has
    /// to be woken for what comes in: a command that waits for one thing after the other costs less so.
    pub workers: usize,
    /// The most threads for what blocks: scans, SQLite, name resolution.
    pub blocking: usize,
    /// How long blocking work may go on after everything else has ended. What then hangs is left to the end of the
    /// process.
    pub last_wait: Duration,
}

impl RuntimeSettings {
    /// For a command that ends by itself: all that does not block is done by the calling thread.
    #[must_use]
    pub fn of_command() -> Self {
        Self {
            workers: 0,
            ..Self::default()
        }
    }
}

impl Default for RuntimeSettings {
    /// Two workers, 64 threads that may block, two seconds.
    fn default() -> Self {
        Self {
            workers: 2,
            blocking: 64,
            last_wait: Duration::from_secs(2),
        }
    }
}

/// Runs `main` to its end. A task that blocks a thread can be neither cancelled nor killed; when `main` is over, such
/// work gets [`RuntimeSettings::last_wait`], is then named in the log, and this returns all the same: return from the
/// process's own `main` soon.
///
/// # Errors
/// The error of `main`, and when the runtime cannot be started.
///
/// ```
/// use daemon_kit::{Exit, RuntimeSettings, run};
/// let exit = run(RuntimeSettings::default(), async { Ok(Exit::Done) }).unwrap();
/// assert_eq!(exit, Exit::Done);
/// ```
pub fn run(settings: RuntimeSettings, main: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let mut builder = match settings.workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        workers => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    let runtime = builder
        .max_blocking_threads(settings.blocking.max(1))
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let outcome = runtime.block_on(main);
    let ended = Instant::now();
    runtime.shutdown_timeout(settings.last_wait);
    if ended.elapsed() >= settings.last_wait {
        let tasks = std::mem::take(&mut *cut_off());
        warn!(
            ?tasks,
            "work that blocks a thread has not ended; the process ends without it"
        );
    }
    outcome
}

/// The tasks that a supervisor of this process gave up. Who hangs in a thread is one of them or was started by one.
pub(crate) fn cut_off() -> MutexGuard<'static, Vec<String>> {
    static CUT_OFF: Mutex<Vec<String>> = Mutex::new(Vec::new());
    CUT_OFF.lock().unwrap_or_else(PoisonError::into_inner)
}
