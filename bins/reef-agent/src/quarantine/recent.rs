//! What was taken away just now: two scans may meet a file at the same time, and one of them comes second.
use super::{
    Item,
    stamp::{FileTime, Stamp},
    take::Taken,
};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
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

/// What was taken away just now.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(Was, Item)>>);

impl Recent {
    /// Takes a file away by `take`, or gives the item that it is already. One at a time: whoever comes second waits for the
    /// outcome of the first.
    pub(super) fn once<E>(&self, taken: &Taken<'_>, take: impl FnOnce() -> Result<Item, E>) -> Result<Item, E> {
        let was = Was::new(taken.path, taken.scanned);
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, item)) = recent.iter().find(|(other, _)| *other == was) {
            return Ok(item.clone());
        }
        let item = take()?;
        recent.truncate(MOST - 1);
        recent.push_front((was, item.clone()));
        Ok(item)
    }
}
