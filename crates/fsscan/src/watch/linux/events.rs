//! What is done about events.
use super::{MOST_EVENTS, Watcher, enter::Todo, fanotify::Close, inotify::Event, tree::NodeId};
use crate::{
    roots::{contains, prefix},
    watch::{
        LostWhy, WatchCounters,
        pending::{Note, Sign},
    },
};
use rustix::fs::inotify::ReadFlags;
use std::{fs::File, io, mem, sync::Arc};

const SELF: ReadFlags = ReadFlags::DELETE_SELF
    .union(ReadFlags::MOVE_SELF)
    .union(ReadFlags::UNMOUNT);
const COMES: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO);
const GOES: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);

impl Watcher {
    pub(super) fn read_events(&mut self) -> io::Result<()> {
        let inotify = Arc::clone(&self.inotify);
        let mut buffer = mem::take(&mut self.events);
        let read = inotify.read(&mut buffer, MOST_EVENTS, &mut |event| self.event(event));
        self.events = buffer;
        WatchCounters::add(&self.shared.counters.events, read?);
        WatchCounters::one(&self.shared.counters.batches);
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) {
        if event.is(ReadFlags::QUEUE_OVERFLOW) {
            return self.overflowed();
        }
        // Events of watches that were let go may still be in the queue.
        let Some(node) = self.tree.by_watch(event.watch) else {
            return;
        };
        let Some(root) = self.tree.root_of(node) else { return };
        let is_dir = event.is(ReadFlags::ISDIR);
        match event.name {
            // The directory was deleted or unmounted, and its watch with it.
            None if event.is(ReadFlags::IGNORED) => {
                if self.tree.is_root(node) {
                    self.suspects.insert(root);
                }
                self.forget(node);
            }
            None => {
                if self.tree.is_root(node) && event.is(SELF) {
                    self.suspects.insert(root);
                }
            }
            Some(name) if is_dir && event.is(COMES) => self.todo.push(Todo::child(root, node, name, true)),
            Some(name) if is_dir && event.is(GOES) => {
                if let Some(child) = self.tree.child(node, name) {
                    self.forget(child);
                }
            }
            Some(name) if event.is(ReadFlags::CLOSE_WRITE) => self.note(root, node, name, Sign::Closed),
            Some(name) if !is_dir && event.is(ReadFlags::MOVED_TO) => self.note(root, node, name, Sign::Moved),
            Some(name) if !is_dir && event.is(ReadFlags::CREATE) => self.note(root, node, name, Sign::Named),
            Some(_) => {}
        }
    }

    fn note(&mut self, root: usize, node: NodeId, name: &[u8], sign: Sign) {
        let root = &self.roots[root];
        let mut path = root.path_of(&self.tree, node);
        if root.leaves_out(root.relative(&path), name, false) {
            return;
        }
        path.push(b'/');
        path.extend_from_slice(name);
        self.notes.push(Note {
            root: root.place,
            path,
            sign,
            file: None,
        });
    }

    /// Has the file systems of a root marked.
    pub(super) fn mark(&mut self, index: usize) {
        let Some(fanotify) = &self.fanotify else { return };
        let root = &self.roots[index];
        let mut marked = fanotify.mark(&root.canonical);
        if !root.request.one_file_system {
            let points = self.mounts.iter().flat_map(super::mounts::Mounts::points);
            for point in points.filter(|point| contains(&root.canonical, point)) {
                marked = fanotify.mark(point).and(marked);
            }
        }
        if let Err(error) = marked {
            // Some file systems cannot be marked. What is written there is noticed through inotify alone.
            tracing::debug!(error = %error, "a file system could not be marked");
        }
    }

    pub(super) fn read_closes(&mut self) {
        let Some(fanotify) = self.fanotify.take() else { return };
        let counters = Arc::clone(&self.shared);
        let counters = &counters.counters;
        let read = fanotify.read(&mut |close| match close {
            Close::Own => WatchCounters::one(&counters.own),
            Close::File { path, file } => self.closed(&path, file),
        });
        WatchCounters::one(&counters.batches);
        match read {
            Ok((events, is_lost)) => {
                WatchCounters::add(&counters.events, events);
                if is_lost {
                    self.lose_all();
                }
            }
            Err(error) => {
                // Too many open files, mostly: the events that could not be had are gone.
                tracing::warn!(error = %error, "could not read which files were closed");
                self.lose_all();
            }
        }
        self.fanotify = Some(fanotify);
    }

    fn lose_all(&self) {
        WatchCounters::one(&self.shared.counters.overflows);
        for root in &self.roots {
            self.shared.lose(root.place, root.path.clone(), LostWhy::Overflow);
        }
    }

    /// A file was closed after writing, somewhere on a marked file system.
    fn closed(&mut self, path: &[u8], file: &mut dyn FnMut() -> io::Result<File>) {
        let is_in = |root: &&super::Root| root.identity.is_some() && contains(&root.canonical, path);
        let Some(root) = self.roots.iter().find(is_in) else {
            return;
        };
        let relative = path.get(prefix(&root.canonical).len() + 1..).unwrap_or_default();
        let mut dir = 0;
        for (at, _) in relative.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if root.leaves_out(&relative[..dir.max(1) - 1], &relative[dir..at], true) {
                return;
            }
            dir = at + 1;
        }
        if root.leaves_out(&relative[..dir.max(1) - 1], &relative[dir..], false) {
            return;
        }
        self.notes.push(Note {
            root: root.place,
            path: [prefix(&root.path), b"/", relative].concat(),
            sign: Sign::Closed,
            file: file().ok(),
        });
    }
}
