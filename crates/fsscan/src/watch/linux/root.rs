//! Roots, and what becomes of them.
use super::{
    Watcher,
    enter::Todo,
    tree::{NodeId, Tree},
};
use crate::{
    RootRequest,
    roots::{contains, prefix},
    rules::{Decided, Rules},
    summary::ErrorKind,
    sys::{self, path_of},
    watch::{GoneWhy, LostWhy, WatchCounters, request::Rooted, shared::RootNews},
};
use core_model::RootIdentity;
use std::io;

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    /// Its place in the request.
    pub(super) place: usize,
    pub(super) request: RootRequest,
    pub(super) rules: Rules,
    pub(super) path: Vec<u8>,
    /// Its path with every link resolved.
    pub(super) canonical: Vec<u8>,
    /// What is watched.
    pub(super) identity: Option<RootIdentity>,
    pub(super) node: Option<NodeId>,
    /// What was told of it last.
    news: Option<RootNews>,
    /// It is told once all its directories are watched.
    is_new: bool,
    /// Events were lost: it is told once all its directories were looked at anew.
    is_lost: bool,
}

impl Root {
    pub(super) fn new(rooted: Rooted) -> Self {
        Self {
            place: rooted.place,
            request: rooted.request,
            rules: rooted.rules,
            canonical: rooted.path.clone(),
            path: rooted.path,
            identity: None,
            node: None,
            news: None,
            is_new: false,
            is_lost: false,
        }
    }

    /// The path of a directory, with no slash at its end; that of `/` is empty.
    pub(super) fn path_of(&self, tree: &Tree, node: NodeId) -> Vec<u8> {
        let mut path = prefix(&self.path).to_vec();
        tree.push_path(node, &mut path);
        path
    }

    /// The path of a directory relative to the root; that of the root is empty.
    pub(super) fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        path.get(prefix(&self.path).len() + 1..).unwrap_or_default()
    }

    /// Whether the rules leave out a name in a directory, of which they do not leave out any above.
    pub(super) fn leaves_out(&self, relative_dir: &[u8], name: &[u8], is_dir: bool) -> bool {
        let decided = if self.rules.needs_paths(relative_dir) {
            let slash: &[u8] = if relative_dir.is_empty() { b"" } else { b"/" };
            let path = [relative_dir, slash, name].concat();
            self.rules.decide(path_of(&path), is_dir)
        } else {
            self.rules.decide_name(name, is_dir)
        };
        matches!(decided, Decided::LeftOut(_) | Decided::Hidden)
    }

    fn is_same(&self, found: &RootIdentity) -> bool {
        let of = |identity: &RootIdentity| (identity.device, identity.inode, identity.birth_ns);
        self.identity.as_ref().is_some_and(|known| of(known) == of(found))
    }
}

impl Watcher {
    /// Looks at what is at a root's path.
    pub(super) fn examine(&mut self, index: usize) {
        self.open.remove(&index);
        self.follow(index);
        let root = &self.roots[index];
        match sys::open_root(path_of(&root.path)) {
            Ok(open) => {
                let is_watched = root.node.is_some_and(|node| self.tree.holds(node));
                if is_watched && root.is_same(&open.identity) {
                    return;
                }
                let is_first = root.news.is_none();
                self.let_go(index);
                let root = &mut self.roots[index];
                root.identity = Some(open.identity);
                root.is_new = true;
                if let Ok(canonical) = sys::canonical(&open.handle) {
                    root.canonical = sys::bytes_of(&canonical).into_owned();
                }
                self.follow(index);
                self.mark(index);
                // What lies in a root that appears is as new as what lies in a directory that does.
                self.todo.push(Todo::root(index, !is_first));
            }
            Err(error) => {
                self.let_go(index);
                let why = match error.kind() {
                    io::ErrorKind::NotFound => GoneWhy::Missing,
                    io::ErrorKind::NotADirectory => GoneWhy::NotADirectory,
                    _ => GoneWhy::Unreadable(ErrorKind::of(&error)),
                };
                self.tell(index, RootNews::Gone(why));
            }
        }
    }

    fn follow(&mut self, index: usize) {
        let root = &self.roots[index];
        self.ancestors.follow(index, &[&root.path, &root.canonical]);
    }

    fn tell(&mut self, index: usize, news: RootNews) {
        let root = &mut self.roots[index];
        if root.news != Some(news) || news == RootNews::Watching {
            root.news = Some(news);
            self.shared.news(root.place, news);
        }
    }

    fn let_go(&mut self, index: usize) {
        let root = &mut self.roots[index];
        root.identity = None;
        root.is_new = false;
        root.is_lost = false;
        if let Some(node) = root.node.take() {
            self.forget(node);
        }
    }

    /// Opens a root, for a while.
    pub(super) fn open_root(&mut self, index: usize) -> Option<&sys::Handle> {
        if !self.open.contains_key(&index) {
            let root = &self.roots[index];
            let open = sys::open_root(path_of(&root.path)).ok();
            let open = open.filter(|open| root.is_same(&open.identity));
            let Some(open) = open else {
                self.suspects.insert(index);
                return None;
            };
            self.open.insert(index, open.handle);
        }
        self.open.get(&index)
    }

    /// All directories were looked at that were to be.
    pub(super) fn settle(&mut self) {
        for index in 0..self.roots.len() {
            let root = &mut self.roots[index];
            let (is_new, is_lost) = (root.is_new, root.is_lost);
            (root.is_new, root.is_lost) = (false, false);
            if is_new {
                self.tell(index, RootNews::Watching);
            }
            if is_lost {
                let root = &self.roots[index];
                self.shared.lose(root.place, root.path.clone(), LostWhy::Overflow);
            }
        }
    }

    /// Events were lost: every directory is looked at anew.
    pub(super) fn overflowed(&mut self) {
        tracing::warn!("the queue of events ran over: watched directories are to be scanned");
        WatchCounters::one(&self.shared.counters.overflows);
        WatchCounters::set(&self.shared.counters.blind, 0);
        self.suspects.extend(0..self.roots.len());
        self.todo.clear();
        for (index, root) in self.roots.iter_mut().enumerate() {
            if root.identity.is_some() {
                root.is_lost = true;
                self.todo.push(Todo::root(index, false));
            }
        }
    }

    /// Something was mounted or unmounted.
    pub(super) fn read_mounts(&mut self) {
        let Some(mounts) = &mut self.mounts else { return };
        let changed = match mounts.changed() {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(error = %error, "could not read what is mounted");
                return;
            }
        };
        for index in 0..self.roots.len() {
            for point in &changed {
                let root = &self.roots[index];
                if contains(point, &root.canonical) {
                    self.suspects.insert(index);
                } else if contains(&root.canonical, point) {
                    self.mark(index);
                    self.enter_point(index, point);
                }
            }
        }
    }

    /// Has a directory looked at by its path with links resolved, if the one above is watched.
    fn enter_point(&mut self, index: usize, point: &[u8]) {
        let root = &self.roots[index];
        let relative = point.get(prefix(&root.canonical).len() + 1..).unwrap_or_default();
        let mut names: Vec<&[u8]> = relative.split(|byte| *byte == b'/').collect();
        let Some(name) = names.pop() else { return };
        let below = names.into_iter().try_fold(root.node, |node, name| {
            let node = node?;
            Some(self.tree.child(node, name))
        });
        if let Some(Some(parent)) = below {
            self.todo.push(Todo::child(index, parent, name, true));
        }
    }
}
