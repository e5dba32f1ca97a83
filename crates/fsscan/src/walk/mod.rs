//! A walk for whoever does something with each file, where a scan compares with what is known.
//!
//! Directories and files are found as a scan finds them: relative to descriptors, through no link, by the same rules. Each
//! thread has a [`Visitor`] of its own, which is called once for each directory; while it blocks, its thread walks no
//! further, and that is all the backpressure there is. What waits is a stack as deep as the tree.
mod coverage;
mod directory;
mod file;
mod guide;
mod left_out;

pub use coverage::{Coverage, Ledger, Tally};
pub use directory::{Directory, FileSystem, WalkedFile};
pub use file::{FileStat, KeptDir, OpenFileError};
pub use left_out::{LeftOut, NotWalked, Reason};

use crate::{
    ErrorKind, PathError, Progress, RootOutcome, RootRequest,
    context::{Ground, Root, Volumes},
    roots::{self, BadRoots},
    rules::{PatternError, Rules},
    sys,
    walker::Walker,
};
use core_model::RootId;
use guide::{Guide, Seen};
use std::{
    collections::BTreeMap,
    io, mem, panic,
    path::PathBuf,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a walk is asked to do.
#[derive(Clone, Debug)]
pub struct WalkRequest {
    /// The paths, each with its own rules; none may lie in another.
    pub roots: Vec<RootRequest>,
    /// Ignore patterns of all roots, in the syntax of `.gitignore`, except that a pattern with an inner slash such as
    /// `.git/*` matches at any depth unless it begins with a slash.
    pub ignore: Vec<String>,
    /// Names of files, such as `.gitignore`, whose patterns hold below the directory they are found in.
    pub ignore_files: Vec<String>,
    /// How many errors the summary keeps whole; all are counted.
    pub first_errors: usize,
    /// Counters to look at while the walk runs.
    pub progress: Arc<Progress>,
}

impl WalkRequest {
    /// A walk of `roots` without rules.
    pub fn new(roots: Vec<RootRequest>) -> Self {
        Self {
            roots,
            ignore: Vec::new(),
            ignore_files: Vec::new(),
            first_errors: 1000,
            progress: Arc::default(),
        }
    }

    /// Finds what [`walk`] would refuse, without a look at the disk.
    ///
    /// # Errors
    ///
    /// See [`WalkError`].
    pub fn check(&self) -> Result<(), WalkError> {
        for (_, root) in roots::distinct(&self.roots)? {
            Rules::of(&self.ignore, root)?;
        }
        Ok(())
    }
}

/// A directory that is about to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entering<'w> {
    /// The place of its root in [`WalkRequest::roots`].
    pub root: usize,
    /// Its path, as raw bytes.
    pub path: &'w [u8],
    /// Its path relative to the root; empty for the root.
    pub relative: &'w [u8],
}

/// What is done with a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enter {
    /// It is visited, and those below.
    #[default]
    Visit,
    /// Only those below: its files were seen to before. It is listed, but no file is looked at.
    Through,
    /// Nothing, neither it nor what is below.
    Skip,
}

/// What a walk calls. Each thread has one of its own.
pub trait Visitor: Send {
    /// A directory is about to be opened. For a walk that goes on where another ended: parents are asked for before
    /// their children, but in no other order, and by no thread in particular.
    fn enter(&mut self, _dir: &Entering<'_>) -> Enter {
        Enter::Visit
    }

    /// A directory was listed. Called once for each, before any of those below; the files are as they were a moment ago.
    fn directory(&mut self, dir: &Directory<'_>);

    /// A directory is left out that its parent's listing did not show to be: it cannot be read, lies too deep, or on
    /// another file system. Nothing below is walked.
    fn not_walked(&mut self, _dir: &NotWalked<'_>) {}

    /// A path could not be read. It is also told as left out.
    fn error(&mut self, _error: &PathError) {}
}

/// Why no walk took place, or why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A root's path is relative or holds `..`.
    #[error("`{}` cannot be walked: a root is an absolute path without `..`", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// A root lies in another, so that its files would be visited twice.
    #[error("`{}` lies in `{}`: name only one of them", .inner.display(), .outer.display())]
    Nested {
        /// The root that contains the other.
        outer: PathBuf,
        /// The root inside it.
        inner: PathBuf,
    },
    /// An ignore pattern is none.
    #[error("could not read the ignore patterns")]
    Pattern(#[from] PatternError),
    /// There is no visitor, so that nobody would walk.
    #[error("nobody is there to walk: a walk wants one visitor for each thread")]
    NoVisitor,
    /// A walking thread could not be started.
    #[error("could not start a walking thread")]
    Thread(#[source] io::Error),
}

impl From<BadRoots> for WalkError {
    fn from(bad: BadRoots) -> Self {
        match bad {
            BadRoots::Path(path) => Self::Path { path },
            BadRoots::Nested { outer, inner } => Self::Nested { outer, inner },
        }
    }
}

/// What a walk met in one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedRoot {
    /// Its path.
    pub path: PathBuf,
    /// How its walk ended: `Scanned`, `Stopped`, `Missing`, `NotADirectory` or `Unreadable`.
    pub outcome: RootOutcome,
    /// Regular files given to visitors.
    pub files: u64,
    /// Their bytes; those of a file with several names once for each.
    pub bytes: u64,
}

/// What a walk met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalkSummary {
    /// Each root of the request once, in order.
    pub roots: Vec<WalkedRoot>,
    /// Directories visited.
    pub dirs: u64,
    /// Regular files given to visitors.
    pub files: u64,
    /// Their bytes; those of a file with several names once for each.
    pub bytes: u64,
    /// How many paths could not be read, by reason.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// The first of them.
    pub first_errors: Vec<PathError>,
    /// Whether the walk was stopped before its end.
    pub stopped: bool,
    /// How long it took.
    pub duration: Duration,
}

/// Walks the roots of `request` with a thread for each of `visitors`, and gives them back in the end, so that nothing
/// need be shared meanwhile. More threads than cores help where storage, or what the visitors wait for, is slow to answer.
/// Raising `stop` ends the walk within a directory of each thread.
///
/// # Errors
///
/// See [`WalkError`]. A path that cannot be read is no error of the walk: it is told to the visitor and counted.
///
/// ```
/// use fsscan::{Coverage, Directory, RootRequest, Visitor, WalkRequest, walk};
/// use std::{io::Read, sync::atomic::AtomicBool};
///
/// #[derive(Default)]
/// struct Reads {
///     coverage: Coverage,
///     bytes: u64,
/// }
///
/// impl Visitor for Reads {
///     fn directory(&mut self, dir: &Directory<'_>) {
///         self.coverage.add(dir);
///         for listed in dir.files() {
///             // A file that vanished or changed meanwhile is an error that says so.
///             if let Ok(mut file) = dir.open(&listed) {
///                 self.bytes += file.read_to_end(&mut Vec::new()).unwrap_or(0) as u64;
///             }
///         }
///     }
/// }
///
/// let top = tempfile::tempdir()?;
/// std::fs::write(top.path().join("a.txt"), "hello")?;
/// std::fs::write(top.path().join("b.tmp"), "left out")?;
/// let mut request = WalkRequest::new(vec![RootRequest::new(top.path())]);
/// request.ignore = vec!["*.tmp".to_owned()];
/// let visitors = vec![Reads::default(), Reads::default()];
/// let (summary, visitors) = walk(&request, visitors, &AtomicBool::new(false))?;
/// assert_eq!(summary.files, 1);
/// assert_eq!(visitors.iter().map(|visitor| visitor.bytes).sum::<u64>(), 5);
/// let left_out: u64 = visitors.iter().map(|visitor| visitor.coverage.left_out.total().bytes).sum();
/// assert_eq!(left_out, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn walk<V: Visitor>(
    request: &WalkRequest,
    visitors: Vec<V>,
    stop: &AtomicBool,
) -> Result<(WalkSummary, Vec<V>), WalkError> {
    let started = Instant::now();
    if visitors.is_empty() {
        return Err(WalkError::NoVisitor);
    }
    let mut opened = Vec::new();
    let mut outcomes = Vec::new();
    for (path, root) in roots::distinct(&request.roots)? {
        let rules = Rules::of(&request.ignore, root)?;
        let place = request
            .roots
            .iter()
            .position(|other| std::ptr::eq(other, root))
            .unwrap_or_default();
        match roots::examine(sys::path_of(&path), None) {
            Ok(open) => {
                outcomes.push((root, Ok(opened.len())));
                opened.push(Root::new(root, rules, RootId(place as u32), &path, open));
            }
            Err(outcome) => outcomes.push((root, Err(outcome))),
        }
    }
    let volumes = Volumes::default();
    let ground = Ground::new(opened, &request.ignore_files, &volumes, stop);
    let first_errors = AtomicU64::new(request.first_errors as u64);
    let guides = visitors
        .into_iter()
        .map(|visitor| Guide::new(&ground, request, visitor, &first_errors))
        .collect();
    let walked = walk_all(&ground, guides)?;

    let mut summary = WalkSummary {
        stopped: stop.load(Ordering::Relaxed),
        ..WalkSummary::default()
    };
    let mut visitors = Vec::with_capacity(walked.len());
    for (visitor, seen) in walked {
        summary.add(seen);
        visitors.push(visitor);
    }
    summary.roots = outcomes
        .into_iter()
        .map(|(root, opened)| close(root, opened.map(|place| &ground.roots[place]), summary.stopped))
        .collect();
    summary.duration = started.elapsed();
    Ok((summary, visitors))
}

type Walked<V> = Vec<(V, Seen)>;

fn walk_all<V: Visitor>(ground: &Ground<'_, ()>, guides: Vec<Guide<'_, '_, V>>) -> Result<Walked<V>, WalkError> {
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(guides.len());
        for guide in guides {
            let walker = Walker::new(ground, guide);
            let thread = thread::Builder::new().name("walk".to_owned());
            match thread.spawn_scoped(scope, move || walker.run().into_parts()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    ground.queue.close();
                    return Err(WalkError::Thread(error));
                }
            }
        }
        let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        // A visitor that panicked takes the walk down, as it would on this thread.
        Ok(ended
            .map(|ended| ended.unwrap_or_else(|panic| panic::resume_unwind(panic)))
            .collect())
    })
}

fn close(request: &RootRequest, root: Result<&Root<'_>, RootOutcome>, stopped: bool) -> WalkedRoot {
    let path = request.path.clone();
    let (root, outcome) = match root {
        Err(outcome) => (None, outcome),
        Ok(root) => {
            let failed = mem::take(&mut *root.failed.lock().unwrap_or_else(PoisonError::into_inner));
            let outcome = match failed {
                Some(detail) => RootOutcome::Unreadable { detail },
                None if stopped => RootOutcome::Stopped,
                None => RootOutcome::Scanned,
            };
            (Some(root), outcome)
        }
    };
    WalkedRoot {
        path,
        outcome,
        files: root.map_or(0, |root| root.files.load(Ordering::Relaxed)),
        bytes: root.map_or(0, |root| root.bytes.load(Ordering::Relaxed)),
    }
}

impl WalkSummary {
    fn add(&mut self, seen: Seen) {
        self.dirs += seen.dirs;
        self.files += seen.files;
        self.bytes += seen.bytes;
        for (kind, count) in seen.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.first_errors.extend(seen.first_errors);
    }
}
