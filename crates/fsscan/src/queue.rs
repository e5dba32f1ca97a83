//! What is left to walk: a stack of directories whose children wait, shared by the walking threads.
//!
//! Children wait as bare names packed behind one another, so that a directory with a million subdirectories costs
//! their names and no more. Last in, first out keeps the stack as deep as the tree, not as wide.
use crate::{found_rules::FoundRules, sys};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// A directory handle that counts among those held.
pub(crate) struct Held {
    handle: sys::Handle,
    count: Arc<AtomicUsize>,
}

impl Held {
    /// As many as may be held beside those that the process needs otherwise: a quarter of the usual limit of 1,024.
    const MOST: usize = 256;

    /// `handle`, if there is room for it.
    pub(crate) fn new(handle: sys::Handle, count: &Arc<AtomicUsize>) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) >= Self::MOST {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self {
            handle,
            count: Arc::clone(count),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A directory that was listed and whose children may still be walked. `N` is what the walk keeps of it for them.
pub(crate) struct Dir<N> {
    /// Held while there is room, else its children are opened from the nearest directory above that is.
    pub(crate) handle: Option<Held>,
    pub(crate) parent: Option<Arc<Dir<N>>>,
    /// Empty for a root.
    pub(crate) name: Box<[u8]>,
    pub(crate) root: usize,
    pub(crate) note: N,
    pub(crate) depth: u32,
    /// Bytes of its path relative to the root.
    pub(crate) path_bytes: usize,
    pub(crate) rules: Option<Arc<FoundRules>>,
    /// Device and inode, looked at only where links are followed.
    pub(crate) place: Option<(u64, u64)>,
}

impl<N> Dir<N> {
    /// Appends its path relative to the root to `out`.
    pub(crate) fn relative(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.path_bytes, b'/');
        let mut end = out.len();
        let mut dir = Some(self);
        while let Some(here) = dir {
            if let Some(begin) = end.checked_sub(here.name.len()).filter(|begin| *begin >= start) {
                out[begin..end].copy_from_slice(&here.name);
                end = begin.saturating_sub(1);
            }
            dir = here.parent.as_deref();
        }
    }

    /// The nearest open directory at or above this one, at last the root, and the names that lead from there to `name`.
    pub(crate) fn way_to<'a>(&'a self, name: &'a [u8], root: &'a sys::Handle) -> (&'a sys::Handle, Vec<&'a [u8]>) {
        let mut names = vec![name];
        let mut from = root;
        let mut dir = Some(self);
        while let Some(here) = dir {
            if let Some(held) = &here.handle {
                from = &held.handle;
                break;
            }
            if here.parent.is_some() {
                names.push(&here.name);
            }
            dir = here.parent.as_deref();
        }
        names.reverse();
        (from, names)
    }

    /// Whether this directory or one above it lies at `place`.
    pub(crate) fn is_within(&self, place: (u64, u64)) -> bool {
        let mut dir = Some(self);
        while let Some(here) = dir {
            if here.place == Some(place) {
                return true;
            }
            dir = here.parent.as_deref();
        }
        false
    }
}

impl<N> Drop for Dir<N> {
    // By hand, since dropping a chain of thousands of parents by recursion would need their depth of stack.
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some(mut dir) = above.and_then(Arc::into_inner) {
            above = dir.parent.take();
        }
    }
}

/// Names packed so that the last can be taken off.
#[derive(Default)]
pub(crate) struct Names(Vec<u8>);

impl Names {
    pub(crate) fn push(&mut self, name: &[u8]) {
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(&(name.len() as u32).to_le_bytes());
    }

    fn pop(&mut self) -> Option<Box<[u8]>> {
        let (rest, length) = self.0.split_last_chunk::<4>()?;
        let begin = rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
        let name = rest[begin..].into();
        self.0.truncate(begin);
        Some(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A directory to walk.
pub(crate) enum Job<N> {
    Root(usize),
    Child(Arc<Dir<N>>, Box<[u8]>),
}

enum Waiting<N> {
    Root(usize),
    Children(Arc<Dir<N>>, Names),
}

struct State<N> {
    stack: Vec<Waiting<N>>,
    /// Threads at work, each of which may push more.
    active: usize,
    idle: usize,
    closed: bool,
}

pub(crate) struct Queue<N> {
    state: Mutex<State<N>>,
    changed: Condvar,
}

impl<N> Default for Queue<N> {
    fn default() -> Self {
        let state = State {
            stack: Vec::new(),
            active: 0,
            idle: 0,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl<N> Queue<N> {
    // A thread that panicked takes the scan down when it is joined; until then the others may see the state as it was.
    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push_root(&self, root: usize) {
        self.lock().stack.push(Waiting::Root(root));
    }

    pub(crate) fn push(&self, dir: Arc<Dir<N>>, mut names: Names) {
        if names.is_empty() {
            return;
        }
        names.0.shrink_to_fit();
        let mut state = self.lock();
        state.stack.push(Waiting::Children(dir, names));
        if state.idle > 0 {
            self.changed.notify_all();
        }
    }

    /// The next directory; `None` when all were walked. It is at work until the guard of `at_work` is dropped.
    pub(crate) fn pop(&self) -> Option<Job<N>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = Self::take(&mut state.stack) {
                state.active += 1;
                return Some(job);
            }
            if state.active == 0 {
                state.closed = true;
                self.changed.notify_all();
                return None;
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn take(stack: &mut Vec<Waiting<N>>) -> Option<Job<N>> {
        match stack.pop()? {
            Waiting::Root(root) => Some(Job::Root(root)),
            Waiting::Children(dir, mut names) => {
                let name = names.pop()?;
                if !names.is_empty() {
                    stack.push(Waiting::Children(Arc::clone(&dir), names));
                }
                Some(Job::Child(dir, name))
            }
        }
    }

    pub(crate) fn at_work(&self) -> AtWork<'_, N> {
        AtWork(self)
    }

    fn done(&self) {
        let mut state = self.lock();
        state.active = state.active.saturating_sub(1);
        if state.active == 0 && state.stack.is_empty() {
            self.changed.notify_all();
        }
    }

    /// Lets every thread end at its next `pop`.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.stack.clear();
        self.changed.notify_all();
    }
}

/// A thread is at work on a directory. A panic counts as its end too, lest the others wait for ever.
pub(crate) struct AtWork<'q, N>(&'q Queue<N>);

impl<N> Drop for AtWork<'_, N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
        self.0.done();
    }
}
