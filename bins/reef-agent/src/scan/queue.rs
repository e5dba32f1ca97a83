//! The queue of files that somebody was told of: bounded, and what finds no room is counted and named.
use super::wanted::Wanted;
use std::{
    collections::BTreeSet,
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc::{self, error::TrySendError};

/// So many directories are named that must be scanned; beyond, only their rules are.
const DIRECTORIES: usize = 1_000;
/// A file that is to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// The file, absolute. Exclusions were applied by whoever tells of it.
    pub(crate) path: PathBuf,
    /// What it falls under.
    pub(crate) rule: Arc<Wanted>,
}

/// What could not be queued since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// How many files.
    pub(crate) files: u64,
    /// The directories that they lie in, by rule: scan these.
    pub(crate) directories: BTreeSet<(String, PathBuf)>,
    /// Rules with files in more directories than are kept: scan all that these name.
    pub(crate) rules: BTreeSet<String>,
}

impl Overflow {
    fn add(&mut self, watched: &Watched) {
        self.files += 1;
        let rule = &watched.rule.rule;
        if self.rules.contains(rule) {
            return;
        }
        if self.directories.len() >= DIRECTORIES {
            self.directories.retain(|(other, _)| other != rule);
            self.rules.insert(rule.clone());
            return;
        }
        let directory = watched.path.parent().unwrap_or(Path::new("/"));
        self.directories.insert((rule.clone(), directory.to_owned()));
    }
}

/// The end for whoever tells of files. Its clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct WatchQueue {
    files: mpsc::Sender<Watched>,
    overflow: Arc<Mutex<Overflow>>,
}

/// The end for [`Engine::judge`](super::Engine::judge); it outlives each call, and keeps what waits.
#[derive(Debug)]
pub(crate) struct WatchedFiles(pub(super) mpsc::Receiver<Watched>);

/// A queue of at most `capacity` files.
pub(crate) fn watch_queue(capacity: usize) -> (WatchQueue, WatchedFiles) {
    let (files, waiting) = mpsc::channel(capacity.max(1));
    let overflow = Arc::default();
    (WatchQueue { files, overflow }, WatchedFiles(waiting))
}

impl WatchQueue {
    /// Has a file judged; false where the queue is full or nobody takes from it any more. It is counted then, and its
    /// directory is named by [`take_overflow`](Self::take_overflow). Never blocks.
    pub(crate) fn offer(&self, watched: Watched) -> bool {
        match self.files.try_send(watched) {
            Ok(()) => true,
            Err(TrySendError::Full(watched) | TrySendError::Closed(watched)) => {
                self.overflow
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(&watched);
                false
            }
        }
    }

    /// How many files wait.
    pub(crate) fn len(&self) -> usize {
        self.files.max_capacity() - self.files.capacity()
    }

    /// What could not be queued since the last call: for whoever scans the directories.
    pub(crate) fn take_overflow(&self) -> Overflow {
        mem::take(&mut *self.overflow.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
