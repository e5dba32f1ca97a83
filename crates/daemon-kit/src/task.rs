//! What a supervised task is doing, for `/health` and the log.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use transport_http::{ComponentHandle, HealthRegistry, Status};

/// Whether a task starts again after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The process cannot do without it: its end, good or bad, ends the others too. So a task that ends well before it
    /// was told to stop ends the process, with [`Cause::Done`](crate::Cause::Done).
    Never,
    /// After an error or a panic it starts again, after a wait that doubles with each failure in a row. When it ends
    /// well, however early, it is done and does not start again, and the others go on: a task that should go on for
    /// ever has to return an error when it cannot.
    Backoff(core_model::Backoff),
}

/// What a task is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// At work.
    Running,
    /// It failed and starts again after a wait.
    Waiting {
        /// What it failed of.
        error: String,
        /// How long it waits.
        wait: Duration,
        /// How many times in a row it has failed.
        failures: u32,
    },
    /// It ended well.
    Done,
    /// It failed and does not start again.
    Failed {
        /// What it failed of.
        error: String,
    },
}

impl TaskState {
    /// Whether nothing is wrong with it.
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Running | Self::Done)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Waiting { error, wait, failures } => {
                write!(
                    f,
                    "starts again after {wait:?}; failures in a row: {failures}; the last: {error}"
                )
            }
            Self::Done => f.write_str("done"),
            Self::Failed { error } => write!(f, "failed: {error}"),
        }
    }
}

/// The states of all tasks of one supervisor. Clones show the same states.
#[derive(Clone, Debug, Default)]
pub struct TaskStates(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    states: BTreeMap<String, TaskState>,
    restarts: BTreeMap<String, u64>,
    health: Option<ComponentHandle>,
}

impl TaskStates {
    /// Every task with its state, by name.
    pub fn all(&self) -> BTreeMap<String, TaskState> {
        self.lock().states.clone()
    }

    /// The state of one task.
    pub fn get(&self, name: &str) -> Option<TaskState> {
        self.lock().states.get(name).cloned()
    }

    /// How many times a task was started again since the process began.
    pub fn restarts(&self, name: &str) -> u64 {
        self.lock().restarts.get(name).copied().unwrap_or(0)
    }

    /// From now on the component `tasks` of `health` shows every task: healthy when all run or are done, degraded
    /// when one waits to start again, unhealthy when one has failed for good. Restarts are counted there.
    pub fn report_to(&self, health: &HealthRegistry) {
        let mut inner = self.lock();
        inner.health = Some(health.component("tasks"));
        inner.report();
    }

    pub(crate) fn set(&self, name: &str, state: TaskState) {
        let mut inner = self.lock();
        if matches!(state, TaskState::Waiting { .. }) {
            *inner.restarts.entry(name.to_owned()).or_default() += 1;
        }
        inner.states.insert(name.to_owned(), state);
        inner.report();
    }

    // Nothing can panic while the map is held, and a state is whole at any time: a poisoned lock tells nothing.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn line(&self, name: &str, state: &TaskState) -> String {
        match self.restarts.get(name) {
            Some(restarts) => format!("{state}; restarts: {restarts}"),
            None => state.to_string(),
        }
    }

    fn report(&self) {
        let Some(health) = &self.health else { return };
        let status = |state: &TaskState| match state {
            TaskState::Running | TaskState::Done => Status::Healthy,
            TaskState::Waiting { .. } => Status::Degraded,
            TaskState::Failed { .. } => Status::Unhealthy,
        };
        let worst = self.states.values().map(status).max().unwrap_or(Status::Healthy);
        let shown = self
            .states
            .iter()
            .map(|(name, state)| (name.clone(), self.line(name, state).into()));
        health.set(worst, shown.collect());
    }
}
