//! What is being taken away, and what was just now: two scans may meet a file at the same time, and one of them comes second.
use super::{
    Item,
    stamp::{FileTime, Stamp},
    take::Taken,
};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// So many are remembered: as many as scans can have met together.
const MOST: usize = 256;

/// A file as it was when it was scanned. Its number may be given to another file at once, but not with its times.
#[derive(Debug, PartialEq, Eq)]
struct Was {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    mtime: FileTime,
    ctime: FileTime,
}

impl Was {
    fn new(path: &Path, stamp: &Stamp) -> Self {
        Self {
            path: path.to_owned(),
            device: stamp.device,
            inode: stamp.inode,
            size: stamp.size,
            mtime: stamp.mtime,
            ctime: stamp.ctime,
        }
    }
}

/// What is being taken away, and what was just now.
#[derive(Debug, Default)]
pub(super) struct Recent {
    state: Mutex<State>,
    /// A file is in hand no longer.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The newest first.
    taken: VecDeque<(Was, Item)>,
    /// Device and inode of those that somebody is at: by whatever name, a file is taken by one at a time.
    in_hand: Vec<(u64, u64)>,
}

impl Recent {
    /// Takes a file away by `take`, or gives the item that it is already. Whoever comes second to the same file waits for the
    /// outcome of the first; nobody waits for another file.
    pub(super) fn once<E>(&self, taken: &Taken<'_>, take: impl FnOnce() -> Result<Item, E>) -> Result<Item, E> {
        let was = Was::new(taken.path, taken.scanned);
        let file = (was.device, was.inode);
        let mut state = self
            .done
            .wait_while(self.lock(), |state| state.in_hand.contains(&file))
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, item)) = state.taken.iter().find(|(other, _)| *other == was) {
            return Ok(item.clone());
        }
        state.in_hand.push(file);
        drop(state);
        let in_hand = InHand { recent: self, file };
        let item = take()?;
        let mut state = self.lock();
        state.taken.truncate(MOST - 1);
        state.taken.push_front((was, item.clone()));
        drop(state);
        // Only now, so that whoever waits finds the item.
        drop(in_hand);
        Ok(item)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that somebody is at, until this is dropped: also when it is dropped by a panic, so that nobody waits for ever.
struct InHand<'r> {
    recent: &'r Recent,
    file: (u64, u64),
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.recent.lock().in_hand.retain(|file| *file != self.file);
        self.recent.done.notify_all();
    }
}
