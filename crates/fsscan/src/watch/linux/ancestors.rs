//! The directories on the way to the roots: what happens to a name on it may make a root come or go.
//!
//! They have an inotify instance of their own, since a directory has one watch only in each.
use super::inotify::{Buffer, Inotify};
use crate::watch::WatchError;
use rustix::fs::inotify::{ReadFlags, WatchFlags};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::BorrowedFd,
};

const MASK: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB);

/// A name in a directory, on the way to a root.
type Way = (usize, Vec<u8>);

/// The directories on the way to the roots.
#[derive(Debug)]
pub(super) struct Ancestors {
    inotify: Inotify,
    ways: HashMap<i32, BTreeSet<Way>>,
}

impl Ancestors {
    pub(super) fn new() -> Result<Self, WatchError> {
        Ok(Self {
            inotify: Inotify::new()?,
            ways: HashMap::new(),
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches every directory on the `paths` to a root, as far as they are there, and none that was watched before.
    pub(super) fn follow(&mut self, root: usize, paths: &[&[u8]]) {
        let before: BTreeSet<i32> = self.of_root(root).collect();
        for ways in self.ways.values_mut() {
            ways.retain(|(other, _)| *other != root);
        }
        for path in paths {
            for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                let dir = if at == 0 { b"/" } else { &path[..at] };
                let name = path[at + 1..].split(|byte| *byte == b'/').next().unwrap_or_default();
                // Where one is missing, so are those below. What may not be watched is done without: the root itself
                // tells of most that may become of it.
                let Ok(watch) = self.inotify.add(dir, MASK) else { break };
                self.ways.entry(watch).or_default().insert((root, name.to_vec()));
            }
        }
        for watch in before {
            if self.ways.get(&watch).is_none_or(BTreeSet::is_empty) {
                self.ways.remove(&watch);
                self.inotify.remove(watch);
            }
        }
    }

    fn of_root(&self, root: usize) -> impl Iterator<Item = i32> {
        let ways = self.ways.iter();
        ways.filter(move |(_, ways)| ways.iter().any(|(other, _)| *other == root))
            .map(|(watch, _)| *watch)
    }

    /// The roots that something happened to on their way.
    pub(super) fn read(&mut self, buffer: &mut Buffer) -> io::Result<BTreeSet<usize>> {
        let ways = &mut self.ways;
        let mut roots = BTreeSet::new();
        self.inotify.read(buffer, usize::MAX, &mut |event| {
            if event.is(ReadFlags::QUEUE_OVERFLOW) {
                roots.extend(ways.values().flatten().map(|(root, _)| *root));
            } else if event.is(ReadFlags::IGNORED) {
                let gone = ways.remove(&event.watch).unwrap_or_default();
                roots.extend(gone.into_iter().map(|(root, _)| root));
            } else if let Some(ways) = ways.get(&event.watch) {
                // Without a name it is the directory itself, whose mode may have changed.
                let is_meant = |way: &&Way| event.name.is_none_or(|name| name == way.1);
                roots.extend(ways.iter().filter(is_meant).map(|(root, _)| *root));
            }
        })?;
        Ok(roots)
    }
}
