//! Directories are looked at: watched, listed, and let go.
use super::{MOST_ENTERED, MOST_NOTES, Watcher, tree::NodeId};
use crate::{
    entry::{KIND_DIRECTORY, KIND_MASK},
    roots::prefix,
    summary::ErrorKind,
    sys::{self, Hint, Look, path_of},
    watch::{
        LostWhy, WatchCounters,
        pending::{Note, Sign},
    },
};
use rustix::{fs::inotify::WatchFlags, io::Errno};
use std::{collections::HashSet, io, os::fd::AsRawFd};

/// What is told of a directory: closed after writing, and names that come and go.
const MASK: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::EXCL_UNLINK);
const MASK_OF_ROOT: WatchFlags = MASK.union(WatchFlags::DELETE_SELF).union(WatchFlags::MOVE_SELF);

/// Paths are told, and longer ones could not be opened with a name in them.
const LONGEST: usize = 4096 - 257;

/// A directory to look at.
#[derive(Debug)]
pub(super) struct Todo {
    root: usize,
    /// The directory above, and the name in it; `None` for the root.
    place: Option<(NodeId, Box<[u8]>)>,
    /// Whether it is new, so that what lies in it is told.
    tell: bool,
}

impl Todo {
    pub(super) fn root(root: usize, tell: bool) -> Self {
        Self {
            root,
            place: None,
            tell,
        }
    }

    pub(super) fn child(root: usize, parent: NodeId, name: &[u8], tell: bool) -> Self {
        Self {
            root,
            place: Some((parent, name.into())),
            tell,
        }
    }

    fn name(&self) -> &[u8] {
        self.place.as_ref().map_or(b"", |(_, name)| name)
    }
}

impl Watcher {
    /// Looks at some of the directories that are to be looked at.
    pub(super) fn enter_some(&mut self) {
        for _ in 0..MOST_ENTERED {
            let Some(todo) = self.todo.pop() else { break };
            self.enter(&todo);
        }
        self.open.clear();
        if self.todo.is_empty() {
            // What was found on the way goes before the news that all is found.
            self.hand_over();
            self.settle();
        }
    }

    /// Lets go of a directory and all below.
    pub(super) fn forget(&mut self, node: NodeId) {
        for watch in self.tree.remove(node) {
            self.inotify.remove(watch);
        }
    }

    fn enter(&mut self, todo: &Todo) {
        let root = &self.roots[todo.root];
        let mut path = prefix(&root.path).to_vec();
        if let Some((parent, name)) = &todo.place {
            if !self.tree.holds(*parent) {
                return;
            }
            self.tree.push_path(*parent, &mut path);
            if root.leaves_out(root.relative(&path), name, true) {
                return;
            }
            path.push(b'/');
            path.extend_from_slice(name);
        }
        let before = match &todo.place {
            Some((parent, name)) => self.tree.child(*parent, name),
            None => root.node.filter(|node| self.tree.holds(*node)),
        };
        let (handle, look) = match self.open(todo) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) if sys::is_absent(&error) => return self.forget_all(before),
            Err(error) => {
                self.forget_all(before);
                return self.blind(todo, path, LostWhy::Unreadable(ErrorKind::of(&error)));
            }
        };
        let root = &self.roots[todo.root];
        let device = root.identity.map_or(0, |identity| identity.device);
        if root.request.one_file_system && look.device != device {
            return self.forget_all(before);
        }
        if path.len() > LONGEST {
            return self.blind(todo, path, LostWhy::Unreadable(ErrorKind::TooDeep));
        }
        let Some(node) = self.watch(todo, before, &handle, &look, &path) else {
            return;
        };
        if todo.place.is_none() {
            self.roots[todo.root].node = Some(node);
        }
        if let Err(error) = self.list(todo, node, &handle, &path)
            && !sys::is_absent(&error)
        {
            self.blind(todo, path, LostWhy::Unreadable(ErrorKind::of(&error)));
        }
    }

    fn forget_all(&mut self, node: Option<NodeId>) {
        if let Some(node) = node {
            self.forget(node);
        }
    }

    /// Opens the directory through no link. `None` when its root is no longer what it was.
    fn open(&mut self, todo: &Todo) -> io::Result<Option<(sys::Handle, Look)>> {
        let mut names = match &todo.place {
            Some((parent, _)) => self.tree.names(*parent),
            None => Vec::new(),
        };
        if todo.place.is_some() {
            names.push(todo.name().into());
        }
        let names: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
        let Some(root) = self.open_root(todo.root) else {
            return Ok(None);
        };
        let handle = if names.is_empty() {
            sys::duplicate(root)?
        } else {
            sys::open_beneath(root, &names)?
        };
        let look = sys::look_at(&handle)?;
        Ok(Some((handle, look)))
    }

    /// Watches an open directory. `None` when it cannot be, or is watched by another path.
    fn watch(
        &mut self,
        todo: &Todo,
        before: Option<NodeId>,
        handle: &sys::Handle,
        look: &Look,
        path: &[u8],
    ) -> Option<NodeId> {
        let mask = if todo.place.is_none() { MASK_OF_ROOT } else { MASK };
        if before.is_none() && self.tree.len() >= self.max_watches {
            self.limited(todo, path);
            return None;
        }
        // By its descriptor, so that the very directory is watched that will be listed.
        let by_descriptor = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let added = match self.inotify.add(by_descriptor.as_bytes(), mask) {
            Err(Errno::NOENT) => self.inotify.add(path, mask | WatchFlags::DONT_FOLLOW),
            other => other,
        };
        let watch = match added {
            Ok(watch) => watch,
            Err(Errno::NOSPC) => {
                self.limited(todo, path);
                return None;
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return None,
            Err(error) => {
                self.blind(todo, path.to_vec(), LostWhy::Unreadable(ErrorKind::of(&error.into())));
                return None;
            }
        };
        if let Some(known) = self.tree.by_watch(watch) {
            if Some(known) == before {
                return Some(known);
            }
            if self.is_at_its_place(known, look) {
                // A mount shows it at two places. It is told by the first.
                self.forget_all(before);
                return None;
            }
            let stale = self.tree.remove(known);
            for other in stale.into_iter().filter(|other| *other != watch) {
                self.inotify.remove(other);
            }
        }
        self.forget_all(before);
        let place = todo.place.as_ref().map(|(parent, _)| *parent);
        let added = self.tree.add(todo.root, place, todo.name(), watch);
        if added.is_none() {
            self.inotify.remove(watch);
        }
        added
    }

    /// Whether a directory that looks so is where the tree has it.
    fn is_at_its_place(&mut self, node: NodeId, look: &Look) -> bool {
        let Some(root) = self.tree.root_of(node) else {
            return false;
        };
        let names = self.tree.names(node);
        let names: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
        let Some(top) = self.open_root(root) else { return false };
        let found = match names.as_slice() {
            [] => sys::look_at(top),
            names => sys::open_beneath(top, names).and_then(|handle| sys::look_at(&handle)),
        };
        let identity = |look: &Look| (look.device, look.entry.inode);
        found.is_ok_and(|found| identity(&found) == identity(look))
    }

    /// Has the directories in it looked at, and notes its files if they are new.
    fn list(&mut self, todo: &Todo, node: NodeId, handle: &sys::Handle, path: &[u8]) -> io::Result<()> {
        let Self {
            roots,
            tree,
            todo: more,
            notes,
            listing,
            shared,
            ..
        } = self;
        let root = &roots[todo.root];
        let relative = root.relative(path);
        let mut missing: HashSet<Box<[u8]>> = tree.children(node).map(|(name, _)| name.as_ref().into()).collect();
        sys::list(handle, listing, &mut |name, hint, _| {
            let is_dir = match hint {
                Hint::Directory => true,
                Hint::Symlink => return,
                Hint::Other => false,
                Hint::Unknown => match sys::look(handle, &[name, b"\0"].concat()) {
                    Ok(look) => look.entry.mode & KIND_MASK == KIND_DIRECTORY,
                    Err(_) => return,
                },
            };
            if is_dir {
                missing.remove(name);
                more.push(Todo::child(todo.root, node, name, todo.tell));
            } else if todo.tell && !root.leaves_out(relative, name, false) {
                notes.push(Note {
                    root: root.place,
                    path: [path, b"/", name].concat(),
                    sign: Sign::Moved,
                    file: None,
                });
                if notes.len() >= MOST_NOTES {
                    shared.note(notes);
                }
            }
        })?;
        for name in missing {
            let child = self.tree.child(node, &name);
            self.forget_all(child);
        }
        Ok(())
    }

    fn limited(&mut self, todo: &Todo, path: &[u8]) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(
                watches = self.tree.len(),
                "no watch is left, and some directories go unwatched: raise the sysctl fs.inotify.max_user_watches and \
                 the limit of this program, or exclude directories"
            );
        }
        self.blind(todo, path.to_vec(), LostWhy::WatchLimit);
    }

    fn blind(&mut self, todo: &Todo, mut path: Vec<u8>, why: LostWhy) {
        if path.is_empty() {
            path.push(b'/');
        }
        tracing::debug!(path = %path_of(&path).display(), why = why.name(), "a directory is not watched");
        WatchCounters::one(&self.shared.counters.blind);
        self.shared.lose(self.roots[todo.root].place, path, why);
    }
}
