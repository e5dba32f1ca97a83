//! The thread that watches: it keeps a picture of the directories, and hands on what was written.
//!
//! The picture follows what is there, never what events say was done: an event about a directory only has it looked at.
//! A watch is set before its directory is listed, so that whatever comes later is an event and whatever came before is in
//! the listing. A directory that is moved is let go where it was and found anew where it is.
mod ancestors;
mod enter;
mod events;
mod fanotify;
mod inotify;
mod mounts;
mod root;
mod tree;

use super::{Method, WatchCounters, WatchError, WatchRequest, pending::Note, request::Rooted, shared::Shared};
use crate::sys;
use ancestors::Ancestors;
use enter::Todo;
use fanotify::Fanotify;
use inotify::Inotify;
use mounts::Mounts;
use root::Root;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tree::Tree;

/// So many events are read before anything else is done.
const MOST_EVENTS: usize = 8192;
/// So many directories are entered before anything else is done.
const MOST_ENTERED: usize = 128;
/// So many notes are handed over at once.
const MOST_NOTES: usize = 1024;

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(super) struct Engine {
    _end: UnixStream,
}

impl Engine {
    pub(super) fn start(request: &WatchRequest, rooted: Vec<Rooted>, shared: Arc<Shared>) -> Result<Self, WatchError> {
        let (end, stop) = UnixStream::pair()?;
        let mounts = Mounts::new();
        if let Err(error) = &mounts {
            tracing::warn!(error = %error, "mounts inside watched directories will not be noticed");
        }
        let mut watcher = Watcher {
            inotify: Arc::new(Inotify::new()?),
            ancestors: Ancestors::new()?,
            mounts: mounts.ok(),
            fanotify: match request.method {
                Method::Auto | Method::Inotify => None,
                Method::Fanotify => Some(Fanotify::new()?),
            },
            roots: rooted.into_iter().map(Root::new).collect(),
            tree: Tree::default(),
            todo: Vec::new(),
            open: HashMap::new(),
            suspects: BTreeSet::new(),
            notes: Vec::new(),
            max_watches: request.max_watches,
            pace: request.pace,
            warned: false,
            listing: sys::Buffer::default(),
            events: inotify::buffer(),
            shared,
        };
        let thread = thread::Builder::new().name("watch".to_owned());
        thread.spawn(move || {
            // However the thread ends, whoever waits hears of it.
            let _ends = Ends(Arc::clone(&watcher.shared));
            if let Err(error) = watcher.run(&stop) {
                tracing::error!(error = %error, "could not go on watching");
            }
        })?;
        Ok(Self { _end: end })
    }
}

struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Watcher {
    inotify: Arc<Inotify>,
    ancestors: Ancestors,
    mounts: Option<Mounts>,
    fanotify: Option<Fanotify>,
    roots: Vec<Root>,
    tree: Tree,
    /// Directories to look at.
    todo: Vec<Todo>,
    /// Roots held open while directories are looked at, and no longer, so that they can be unmounted.
    open: HashMap<usize, sys::Handle>,
    /// Roots of which it is not certain that they are what they were.
    suspects: BTreeSet<usize>,
    notes: Vec<Note>,
    max_watches: usize,
    pace: Duration,
    /// Whether it was said that no watch is left.
    warned: bool,
    listing: sys::Buffer,
    events: inotify::Buffer,
    shared: Arc<Shared>,
}

/// What is to be read.
struct Ready {
    stop: bool,
    events: bool,
    ancestors: bool,
    mounts: bool,
    closes: bool,
}

impl Watcher {
    fn run(&mut self, stop: &UnixStream) -> io::Result<()> {
        self.suspects.extend(0..self.roots.len());
        loop {
            for root in std::mem::take(&mut self.suspects) {
                self.examine(root);
            }
            self.enter_some();
            self.hand_over();
            let ready = self.wait(stop)?;
            if ready.stop {
                return Ok(());
            }
            if ready.ancestors {
                let roots = self.ancestors.read(&mut self.events)?;
                self.suspects.extend(roots);
            }
            if ready.mounts {
                self.read_mounts();
            }
            if ready.events {
                self.read_events()?;
            }
            if ready.closes {
                self.read_closes();
            }
            self.hand_over();
            if self.todo.is_empty() && (ready.events || ready.closes) && !self.pause(stop)? {
                return Ok(());
            }
        }
    }

    fn hand_over(&mut self) {
        self.shared.note(&mut self.notes);
        WatchCounters::set(&self.shared.counters.watches, self.tree.len());
    }

    /// Lets events gather; false when it is time to end.
    fn pause(&self, stop: &UnixStream) -> io::Result<bool> {
        let until = Instant::now() + self.pace;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(stop, PollFlags::IN)], Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for something to happen, unless there is something to do.
    fn wait(&self, stop: &UnixStream) -> io::Result<Ready> {
        let is_idle = self.todo.is_empty() && self.suspects.is_empty();
        let inotify = self.inotify.as_fd();
        let ancestors = self.ancestors.as_fd();
        let mounts = self.mounts.as_ref().map(Mounts::as_fd);
        let closes = self.fanotify.as_ref().map(Fanotify::as_fd);
        let mut fds = vec![
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(&inotify, PollFlags::IN),
            PollFd::new(&ancestors, PollFlags::IN),
        ];
        let place_of_mounts = mounts.as_ref().map(|fd| {
            fds.push(PollFd::new(fd, PollFlags::PRI));
            fds.len() - 1
        });
        let place_of_closes = closes.as_ref().map(|fd| {
            fds.push(PollFd::new(fd, PollFlags::IN));
            fds.len() - 1
        });
        let at_once = Timespec::default();
        loop {
            match poll(&mut fds, (!is_idle).then_some(&at_once)) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let is_ready = |place: usize| !fds[place].revents().is_empty();
        Ok(Ready {
            stop: is_ready(0),
            events: is_ready(1),
            ancestors: is_ready(2),
            mounts: place_of_mounts.is_some_and(is_ready),
            closes: place_of_closes.is_some_and(is_ready),
        })
    }
}
