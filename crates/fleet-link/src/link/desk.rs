//! Commands that wait and commands that run: which is next, and which were cancelled.
use super::verb::Verbs;
use chrono::{DateTime, Utc};
use core_model::CommandId;
use fleet_wire::link::Command;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Commands of immediate verbs that run at once; more wait.
const MAX_IMMEDIATE: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of arrival.
    waiting: Vec<Waiting>,
    running: BTreeMap<CommandId, Running>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    /// Begun before a restart: its deadline was for that.
    is_again: bool,
}

#[derive(Debug)]
struct Running {
    cancel: CancellationToken,
    is_unwanted: bool,
    is_immediate: bool,
}

/// What to do next.
pub(super) enum Next {
    Begin {
        command: Command,
        is_again: bool,
        cancel: CancellationToken,
    },
    Expire(Command),
}

/// What became of a cancellation.
pub(super) enum Cancelled {
    /// It had not begun, and waits no longer.
    Waiting(Command),
    /// It runs, and was told.
    Running,
    /// It is not here.
    Absent,
}

impl Desk {
    pub(super) fn clear(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn wait(&self, command: Command, is_again: bool) {
        self.lock().waiting.push(Waiting { command, is_again });
        self.changed.notify_one();
    }

    /// The same for a command that the journal holds for waiting, unless it is here. Its receipt was cut off, as by a link
    /// that was dropped, between the journal and this desk.
    pub(super) fn wait_unless_known(&self, command: Command) {
        let mut state = self.lock();
        let is_waiting = state
            .waiting
            .iter()
            .any(|waiting| waiting.command.command == command.command);
        if !is_waiting && !state.running.contains_key(&command.command) {
            state.waiting.push(Waiting {
                command,
                is_again: false,
            });
            self.changed.notify_one();
        }
    }

    /// Until something was added or cancelled.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.running.len())
    }

    /// One that is too late at `now` of the controller's clock, else, if any may begin, the most urgent that may; it counts
    /// as running from here on.
    pub(super) fn next(&self, verbs: &Verbs, now: DateTime<Utc>, may_begin: bool) -> Option<Next> {
        let mut state = self.lock();
        let late = |waiting: &Waiting| !waiting.is_again && waiting.command.deadline <= now;
        if let Some(index) = state.waiting.iter().position(late) {
            return Some(Next::Expire(state.waiting.remove(index).command));
        }
        if !may_begin {
            return None;
        }
        let immediate = |verb: &str| verbs.get(verb).is_some_and(|verb| verb.is_immediate);
        let (mut busy, mut quick) = (false, 0);
        for running in state.running.values() {
            busy |= !running.is_immediate;
            quick += usize::from(running.is_immediate);
        }
        let may = |waiting: &&(usize, &Waiting)| {
            if immediate(&waiting.1.command.verb) {
                quick < MAX_IMMEDIATE
            } else {
                !busy
            }
        };
        let candidates: Vec<(usize, &Waiting)> = state.waiting.iter().enumerate().collect();
        let (index, _) = candidates
            .iter()
            .filter(may)
            .min_by_key(|(index, waiting)| (Reverse(waiting.command.priority), *index))?;
        let index = *index;
        let Waiting { command, is_again } = state.waiting.remove(index);
        let cancel = CancellationToken::new();
        let running = Running {
            cancel: cancel.clone(),
            is_unwanted: false,
            is_immediate: immediate(&command.verb),
        };
        state.running.insert(command.command, running);
        Some(Next::Begin {
            command,
            is_again,
            cancel,
        })
    }

    /// When the next of those that wait is too late.
    pub(super) fn next_deadline(&self) -> Option<DateTime<Utc>> {
        let state = self.lock();
        let fresh = state.waiting.iter().filter(|waiting| !waiting.is_again);
        fresh.map(|waiting| waiting.command.deadline).min()
    }

    /// Puts a command that runs, outside of any order, under a name: one whose end before a restart is being decided.
    pub(super) fn run_aside(&self, id: CommandId) {
        let running = Running {
            cancel: CancellationToken::new(),
            is_unwanted: false,
            is_immediate: true,
        };
        self.lock().running.insert(id, running);
    }

    pub(super) fn cancel(&self, id: CommandId) -> Cancelled {
        let mut state = self.lock();
        if let Some(index) = state.waiting.iter().position(|waiting| waiting.command.command == id) {
            return Cancelled::Waiting(state.waiting.remove(index).command);
        }
        match state.running.get_mut(&id) {
            Some(running) => {
                running.is_unwanted = true;
                running.cancel.cancel();
                Cancelled::Running
            }
            None => Cancelled::Absent,
        }
    }

    pub(super) fn is_unwanted(&self, id: CommandId) -> bool {
        self.lock().running.get(&id).is_some_and(|running| running.is_unwanted)
    }

    /// It could not be begun, and waits again.
    pub(super) fn put_back(&self, command: Command, is_again: bool) {
        let mut state = self.lock();
        state.running.remove(&command.command);
        state.waiting.push(Waiting { command, is_again });
    }

    pub(super) fn done(&self, id: CommandId) {
        self.lock().running.remove(&id);
    }

    /// The agent stops: everything that runs is told.
    pub(super) fn stop(&self) {
        for running in self.lock().running.values() {
            running.cancel.cancel();
        }
    }

    /// What these locks guard is whole after any panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
