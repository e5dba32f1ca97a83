//! What waits to be told, and when it is due. Pure: instants are handed in.
//!
//! Every file in the table has one alarm in the heap. A write moves what is due, never the alarm: when it goes off too
//! early it is set again. So a file that is written a thousand times costs a look-up each time and an alarm or five.
use super::{LostWhy, WatchRequest};
use crate::roots::contains;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fs::File,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

/// More lost directories than this of one root are told as the root.
const MOST_LOST: usize = 64;
/// More files than this are not held open.
const MOST_HELD: usize = 128;

/// How a file was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// Its name appeared. Whether anything was written, only a look at it tells: it may be a link to a file, or one that
    /// is being written.
    Named,
    /// It was closed after writing.
    Closed,
    /// It was moved here, or found in a directory that appeared.
    Moved,
}

/// A write.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) root: usize,
    pub(super) path: Vec<u8>,
    pub(super) sign: Sign,
    pub(super) file: Option<File>,
}

/// What is due.
#[derive(Debug)]
pub(super) enum Due {
    File {
        root: usize,
        path: Arc<[u8]>,
        sign: Sign,
        noticed: Instant,
        file: Option<File>,
    },
    Lost(LostBelow),
}

/// A directory that is told as lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostBelow {
    pub(super) root: usize,
    pub(super) path: Vec<u8>,
    pub(super) why: LostWhy,
}

#[derive(Debug)]
struct Waits {
    root: usize,
    /// When it was first noticed since it was told; `None` while it rests.
    first: Option<Instant>,
    last: Instant,
    told: Option<Instant>,
    sign: Sign,
    file: Option<File>,
    alarm: Instant,
}

/// What waits to be told.
#[derive(Debug)]
pub(super) struct Pending {
    debounce: Duration,
    latest: Duration,
    most: usize,
    files: BTreeMap<Arc<[u8]>, Waits>,
    alarms: BinaryHeap<Reverse<(Instant, Arc<[u8]>)>>,
    lost: Vec<(Instant, LostBelow)>,
    /// The path of each root, by its place.
    roots: Vec<Vec<u8>>,
    held: usize,
}

impl Pending {
    pub(super) fn new(request: &WatchRequest, roots: Vec<Vec<u8>>) -> Self {
        Self {
            debounce: request.debounce.min(request.latest),
            latest: request.latest,
            most: request.max_pending.max(1),
            files: BTreeMap::new(),
            alarms: BinaryHeap::new(),
            lost: Vec::new(),
            roots,
            held: 0,
        }
    }

    /// How many files it knows, those that rest among them.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Takes a write. False when its file waits already, or lies in a directory that is lost.
    pub(super) fn note(&mut self, note: Note, now: Instant) -> bool {
        let covers = |(_, lost): &(Instant, LostBelow)| contains(&lost.path, &note.path);
        if self.lost.iter().any(covers) {
            return false;
        }
        if let Some(waits) = self.files.get_mut(note.path.as_slice()) {
            let is_new = waits.first.is_none();
            waits.sign = if is_new { note.sign } else { waits.sign.max(note.sign) };
            waits.first.get_or_insert(now);
            waits.last = now;
            if let Some(file) = note.file {
                self.held += usize::from(waits.file.is_none());
                waits.file = Some(file);
            } else if note.sign == Sign::Moved && waits.file.take().is_some() {
                // It may be another file that was moved over the one that was closed.
                self.held -= 1;
            }
            return is_new;
        }
        if self.files.len() >= self.most {
            self.files.retain(|_, waits| waits.first.is_some());
            self.drop_stale_alarms();
        }
        if self.files.len() >= self.most {
            self.lose_around(&note, now);
            return true;
        }
        let file = note.file.filter(|_| self.held < MOST_HELD);
        self.held += usize::from(file.is_some());
        let waits = Waits {
            root: note.root,
            first: Some(now),
            last: now,
            told: None,
            sign: note.sign,
            file,
            alarm: now + self.debounce,
        };
        let path: Arc<[u8]> = note.path.into();
        self.alarms.push(Reverse((waits.alarm, Arc::clone(&path))));
        self.files.insert(path, waits);
        true
    }

    /// Nothing is known of what was written below `path`.
    pub(super) fn lose(&mut self, mut below: LostBelow, now: Instant) {
        // What stays unwatched is told even where a scan is due anyway: whoever is told has to know.
        let covers = |(_, lost): &(Instant, LostBelow)| {
            contains(&lost.path, &below.path) && (!below.why.is_blind() || lost.why == below.why)
        };
        if self.lost.iter().any(covers) {
            return;
        }
        let of_root = |lost: &LostBelow| lost.root == below.root;
        if self.lost.iter().filter(|(_, lost)| of_root(lost)).count() >= MOST_LOST {
            below.path.clone_from(&self.roots[below.root]);
        }
        let is_below = |lost: &LostBelow| contains(&below.path, &lost.path) && (lost.why == below.why);
        let first = self.lost.iter().filter(|(_, lost)| is_below(lost)).map(|(due, _)| *due);
        let due = first.min().unwrap_or(now + self.latest);
        self.lost.retain(|(_, lost)| !is_below(lost));
        self.forget_below(&below.path);
        self.lost.push((due, below));
    }

    /// The next that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Due> {
        if let Some(place) = self.lost.iter().position(|(due, _)| *due <= now) {
            return Some(Due::Lost(self.lost.swap_remove(place).1));
        }
        loop {
            let Reverse((at, _)) = self.alarms.peek()?;
            if *at > now {
                return None;
            }
            let Reverse((at, path)) = self.alarms.pop()?;
            let Some(waits) = self.files.get_mut(&path) else {
                continue;
            };
            if waits.alarm != at {
                continue;
            }
            let Some(first) = waits.first else {
                self.files.remove(&path);
                continue;
            };
            let rested = (waits.last + self.debounce).min(first + self.latest);
            let due = waits.told.map_or(rested, |told| rested.max(told + self.latest));
            if due > now {
                waits.alarm = due;
                self.alarms.push(Reverse((due, path)));
                continue;
            }
            waits.first = None;
            waits.told = Some(now);
            waits.alarm = now + self.latest;
            let file = waits.file.take();
            self.held -= usize::from(file.is_some());
            let due = Due::File {
                root: waits.root,
                path: Arc::clone(&path),
                sign: waits.sign,
                noticed: waits.last,
                file,
            };
            self.alarms.push(Reverse((waits.alarm, path)));
            return Some(due);
        }
    }

    /// When `take` is worth a call again: no later than the next is due.
    pub(super) fn alarm(&self) -> Option<Instant> {
        let file = self.alarms.peek().map(|Reverse((at, _))| *at);
        let lost = self.lost.iter().map(|(due, _)| *due).min();
        file.into_iter().chain(lost).min()
    }

    /// The table is full of files that wait: the nearest directory around a new one that holds some of them is lost.
    fn lose_around(&mut self, note: &Note, now: Instant) {
        let root = &self.roots[note.root];
        let mut dir = parent(&note.path);
        while dir != root.as_slice() && contains(root, dir) && self.below(dir).next().is_none() {
            dir = parent(dir);
        }
        let below = LostBelow {
            root: note.root,
            path: dir.to_vec(),
            why: LostWhy::Backlog,
        };
        self.lose(below, now);
    }

    fn below<'p>(&'p self, dir: &'p [u8]) -> impl Iterator<Item = &'p Arc<[u8]>> {
        let from = (Bound::Included(dir), Bound::Unbounded);
        let paths = self.files.range::<[u8], _>(from).map(|(path, _)| path);
        // Between `dir` and `dir/x` lie `dir-x` and the like.
        paths
            .take_while(move |path| path.starts_with(dir))
            .filter(move |path| contains(dir, path))
    }

    fn forget_below(&mut self, dir: &[u8]) {
        let gone: Vec<Arc<[u8]>> = self.below(dir).cloned().collect();
        for path in gone {
            let waits = self.files.remove(&path);
            self.held -= usize::from(waits.is_some_and(|waits| waits.file.is_some()));
        }
        self.drop_stale_alarms();
    }

    /// Files that are forgotten leave their alarms, which must not become many.
    fn drop_stale_alarms(&mut self) {
        if self.alarms.len() > 2 * self.files.len() + 1024 {
            let alarms = self
                .files
                .iter()
                .map(|(path, waits)| Reverse((waits.alarm, Arc::clone(path))));
            self.alarms = alarms.collect();
        }
    }
}

/// The directory of a path.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => b"/",
        Some(end) => &path[..end],
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
