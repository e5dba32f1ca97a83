//! Keeps the tasks of a process: named, joined, restarted where that helps, stopped together.

use crate::{
    end::{CURRENT, End, Supervised},
    notify::{ReadyHandle, Reporter, StatusHandle},
    run::cut_off,
    signal::{Signal, Signals},
    task::{Restart, TaskState, TaskStates},
};
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

type Work = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
type Make = Mutex<dyn FnMut(CancellationToken) -> Work + Send>;

/// Keeps the tasks of a process.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use daemon_kit::{Cause, Restart, Signals, Supervisor};
/// use std::time::Duration;
///
/// // Before anything that takes its time: from here on a signal ends the process in order.
/// let signals = Signals::take().unwrap();
/// let mut supervisor = Supervisor::new(Duration::from_secs(10));
/// supervisor.spawn("greet", Restart::Never, |_stop| async {
///     println!("hello");
///     Ok::<(), std::io::Error>(())
/// });
/// let stopped = supervisor.join(signals).await.unwrap();
/// assert_eq!(stopped.cause, Cause::Done { task: "greet".to_owned() });
/// # }
/// ```
pub struct Supervisor {
    tasks: Vec<Task>,
    running: JoinSet<anyhow::Result<()>>,
    by_id: HashMap<Id, usize>,
    states: TaskStates,
    stop: CancellationToken,
    grace: Duration,
    ready: CancellationToken,
    waits_for_ready: bool,
    status: watch::Sender<String>,
}

struct Task {
    name: Arc<str>,
    supervised: Arc<Supervised>,
    restart: Restart,
    make: Arc<Make>,
    failures: u32,
    started: Instant,
}

/// Why the tasks were stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked the process to end.
    Signal(Signal),
    /// A task that may not be restarted ended well.
    Done {
        /// Its name.
        task: String,
    },
    /// Every task is done.
    AllDone,
    /// The token of [`Supervisor::stop`] was cancelled.
    Asked,
}

/// How the tasks ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub cause: Cause,
    /// Tasks that did not end within the grace period and were cut off.
    pub aborted: Vec<String>,
}

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// A task that may not be restarted failed. Its error is the source.
    #[error("the task `{task}` failed")]
    Failed {
        /// Its name.
        task: String,
        /// Its error.
        source: anyhow::Error,
    },
    /// A task that may not be restarted panicked.
    #[error("the task `{task}` panicked at {place}: {text}")]
    Panicked {
        /// Its name.
        task: String,
        /// What it said.
        text: String,
        /// File, line and column, known where [`log_panics`](crate::log_panics) was called.
        place: String,
    },
    /// A second signal came before the tasks had ended: end the process at once.
    #[error("a second signal, {0}, came before everything had stopped")]
    Impatient(Signal),
}

impl Supervisor {
    /// No tasks yet. `grace` is how long they get to end after they were told to stop.
    pub fn new(grace: Duration) -> Self {
        Self {
            tasks: Vec::new(),
            running: JoinSet::new(),
            by_id: HashMap::new(),
            states: TaskStates::default(),
            stop: CancellationToken::new(),
            grace,
            ready: CancellationToken::new(),
            waits_for_ready: false,
            status: watch::Sender::default(),
        }
    }

    /// From now on the service manager is told that the process is ready only when the handle says so, and not as soon
    /// as [`Supervisor::join`] is called.
    pub fn ready_handle(&mut self) -> ReadyHandle {
        self.waits_for_ready = true;
        ReadyHandle::new(self.ready.clone())
    }

    /// Says in a line what the process is doing, for `systemctl status`.
    pub fn status_handle(&self) -> StatusHandle {
        StatusHandle::new(self.status.clone())
    }

    /// Cancelled when the tasks have to stop. Whoever cancels it stops them.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// What each task is doing.
    pub fn states(&self) -> TaskStates {
        self.states.clone()
    }

    /// Starts a task. `make` is called for every start, with a token that is cancelled when the task has to stop; what
    /// the task logs stands in a span that bears its name.
    pub fn spawn<F, E>(
        &mut self,
        name: impl Into<String>,
        restart: Restart,
        mut make: impl FnMut(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error> + 'static,
    {
        let name: Arc<str> = name.into().into();
        self.tasks.push(Task {
            supervised: Arc::new(Supervised::new(Arc::clone(&name))),
            name,
            restart,
            make: Arc::new(Mutex::new(move |stop| -> Work {
                let work = make(stop);
                Box::pin(async move { work.await.map_err(Into::into) })
            })),
            failures: 0,
            started: Instant::now(),
        });
        self.start(self.tasks.len() - 1, Duration::ZERO);
    }

    /// Waits until a signal, until the first task that may not be restarted ends, or until all are done; then tells the
    /// others to stop and gives them the grace period. Tells systemd that the process is ready, alive and stopping,
    /// where it asks for that, from this call's own loop: the watchdog bites when the loop is stuck. On a second signal
    /// the process exits at once, with the signal's exit code.
    ///
    /// # Errors
    /// When a task that may not be restarted failed or panicked.
    pub async fn join(self, mut signals: Signals) -> Result<Stopped, SuperviseError> {
        let joined = self.join_on(async || signals.next().await).await;
        if let Err(SuperviseError::Impatient(signal)) = &joined {
            warn!(%signal, "second signal: exiting at once");
            std::process::exit(i32::from(signal.exit_code()));
        }
        joined
    }

    /// As [`Supervisor::join`], with signals from `next_signal`, and without exiting: a second signal is an error.
    ///
    /// # Errors
    /// As [`Supervisor::join`], and [`SuperviseError::Impatient`].
    pub async fn join_on(mut self, mut next_signal: impl AsyncFnMut() -> Signal) -> Result<Stopped, SuperviseError> {
        if !self.waits_for_ready {
            self.ready.cancel();
        }
        let mut reporter = Reporter::new(self.ready.clone(), self.status.subscribe());
        let outcome = self.until_the_end(&mut next_signal, &mut reporter).await;
        self.stop.cancel();
        reporter.stopping(self.grace);
        let aborted = self.drain(&mut next_signal, &mut reporter).await?;
        outcome.map(|cause| Stopped { cause, aborted })
    }

    async fn until_the_end(
        &mut self,
        next_signal: &mut impl AsyncFnMut() -> Signal,
        reporter: &mut Reporter,
    ) -> Result<Cause, SuperviseError> {
        loop {
            let ended = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Cause::Asked),
                signal = next_signal() => {
                    info!(%signal, "stopping");
                    return Ok(Cause::Signal(signal));
                }
                () = reporter.turn() => continue,
                ended = self.running.join_next_with_id() => ended,
            };
            match ended.map(|ended| self.ended(ended)) {
                None => return Ok(Cause::AllDone),
                Some(Ok(Some(cause))) => return Ok(cause),
                Some(Ok(None)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// A task ended while the process should go on.
    fn ended(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> Result<Option<Cause>, SuperviseError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(index) = self.by_id.remove(&id) else {
            return Ok(None);
        };
        let Some(task) = self.tasks.get_mut(index) else {
            return Ok(None);
        };
        let end = End::of(ended, &task.supervised);
        let End::Failed(failure) = end else {
            debug!(task = &*task.name, "task done");
            self.states.set(&task.name, TaskState::Done);
            let done = Cause::Done {
                task: task.name.to_string(),
            };
            return Ok((task.restart == Restart::Never).then_some(done));
        };
        let error = failure.text();
        match task.restart {
            Restart::Never => {
                error!(task = &*task.name, error, "task failed; it is not restarted");
                self.states.set(&task.name, TaskState::Failed { error });
                Err(failure.into_error(&task.name))
            }
            Restart::Backoff(backoff) => {
                // Whoever ran for longer than the longest wait had recovered.
                if task.started.elapsed() > backoff.longest {
                    task.failures = 0;
                }
                // Full jitter is for crowds that share a server; here the bound itself is the wait.
                let wait = backoff.ceiling(task.failures);
                task.failures = task.failures.saturating_add(1);
                let failures = task.failures;
                warn!(
                    task = &*task.name,
                    error,
                    ?wait,
                    failures,
                    "task failed; it starts again"
                );
                self.states
                    .set(&task.name, TaskState::Waiting { error, wait, failures });
                self.start(index, wait);
                Ok(None)
            }
        }
    }

    fn start(&mut self, index: usize, wait: Duration) {
        let Some(task) = self.tasks.get_mut(index) else { return };
        let stop = self.stop.child_token();
        task.started = Instant::now() + wait;
        let (name, states, make) = (Arc::clone(&task.name), self.states.clone(), Arc::clone(&task.make));
        let span = info_span!("task", name = &*name);
        let supervised = async move {
            if !wait.is_zero() {
                tokio::select! {
                    () = time::sleep(wait) => {}
                    () = stop.cancelled() => return Ok(()),
                }
                states.set(&name, TaskState::Running);
            }
            // Inside the task, so that a panic of `make` is the task's own. It poisons the lock, which guards a
            // function that is called anew: the next call may well succeed.
            let work = make.lock().unwrap_or_else(PoisonError::into_inner)(stop);
            work.await
        };
        let supervised = CURRENT.scope(Arc::clone(&task.supervised), supervised.instrument(span));
        let handle = self.running.spawn(supervised);
        self.by_id.insert(handle.id(), index);
        if wait.is_zero() {
            self.states.set(&task.name, TaskState::Running);
        }
    }

    /// Waits for all within the grace period; the names of those that were cut off.
    async fn drain(
        &mut self,
        next_signal: &mut impl AsyncFnMut() -> Signal,
        reporter: &mut Reporter,
    ) -> Result<Vec<String>, SuperviseError> {
        let deadline = time::sleep(self.grace);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ended = self.running.join_next_with_id() => match ended {
                    Some(ended) => self.ended_while_stopping(ended),
                    None => return Ok(Vec::new()),
                },
                signal = next_signal() => return Err(SuperviseError::Impatient(signal)),
                () = &mut deadline => break,
                () = reporter.turn() => {}
            }
        }
        let mut deaf: Vec<String> = self
            .by_id
            .values()
            .filter_map(|index| self.tasks.get(*index))
            .map(|task| task.name.to_string())
            .collect();
        deaf.sort_unstable();
        warn!(tasks = ?deaf, grace = ?self.grace, "tasks did not stop in time and are cut off");
        self.running.abort_all();
        cut_off().extend_from_slice(&deaf);
        Ok(deaf)
    }

    fn ended_while_stopping(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(task) = self.by_id.remove(&id).and_then(|index| self.tasks.get(index)) else {
            return;
        };
        let state = match End::of(ended, &task.supervised) {
            End::Well => TaskState::Done,
            End::Failed(failure) => {
                let error = failure.text();
                error!(task = &*task.name, error, "task failed while stopping");
                TaskState::Failed { error }
            }
        };
        self.states.set(&task.name, state);
    }
}
