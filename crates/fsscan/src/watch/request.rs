//! What a watch is asked to do, and why none took place.
use crate::{
    RootRequest,
    roots::{self, BadRoots},
    rules::{PatternError, Rules},
};
use std::{io, path::PathBuf, time::Duration};

/// By which of the system's interfaces writes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// What misses least at the least cost. That is [`Method::Inotify`].
    #[default]
    Auto,
    /// A watch for each directory.
    Inotify,
    /// As `Inotify`, and besides a mark on each file system concerned (`CAP_SYS_ADMIN`). Files come with a descriptor of
    /// what was written, and writes below directories that no watch was left for are told too. It costs more: the system
    /// opens every file that anybody closes after writing on these file systems, wherever it lies. Names that a container
    /// gives its mounts are not understood; such writes are noticed through inotify alone.
    Fanotify,
}

/// What a watch is asked to do.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The paths, each with its own rules; none may lie in another. Links are never followed but the root's own:
    /// `follow_symlinks` changes nothing, since what such links may lead to lies in the root and is watched there.
    pub roots: Vec<RootRequest>,
    /// Ignore patterns of all roots, as [`WalkRequest::ignore`](crate::WalkRequest::ignore). A directory left out is not
    /// watched.
    pub ignore: Vec<String>,
    /// How long a file rests before it is told, counted from its last write.
    pub debounce: Duration,
    /// The latest that a file is told, counted from its first write, and the least time between two tellings of it.
    pub latest: Duration,
    /// Events are read at most this often, so that a busy tree costs few wake-ups. The system's queue must hold what
    /// happens meanwhile.
    pub pace: Duration,
    /// By which interface.
    pub method: Method,
    /// The most watches this one sets; the system's own limit is `fs.inotify.max_user_watches`. One takes about 1 KiB of
    /// the kernel's memory, and 200 bytes here.
    pub max_watches: usize,
    /// The most files that wait to be told, about 250 bytes each. Beyond it their directory is told as lost.
    pub max_pending: usize,
}

impl WatchRequest {
    /// A watch of `roots` without rules: told 100 ms after the last write, or 500 ms after the first; a million watches,
    /// 16,384 files waiting.
    pub fn new(roots: Vec<RootRequest>) -> Self {
        Self {
            roots,
            ignore: Vec::new(),
            debounce: Duration::from_millis(100),
            latest: Duration::from_millis(500),
            pace: Duration::from_millis(5),
            method: Method::default(),
            max_watches: 1_000_000,
            max_pending: 16_384,
        }
    }

    /// Finds what [`Watch::begin`](crate::watch::Watch::begin) would refuse, without a look at the disk.
    ///
    /// # Errors
    ///
    /// See [`WatchError`].
    pub fn check(&self) -> Result<(), WatchError> {
        self.rooted().map(drop)
    }

    /// Each root once: its place in the request, its path in its shortest form, its rules.
    pub(super) fn rooted(&self) -> Result<Vec<Rooted>, WatchError> {
        let mut rooted = Vec::new();
        for (path, root) in roots::distinct(&self.roots)? {
            let same = |other: &RootRequest| std::ptr::eq(other, root);
            rooted.push(Rooted {
                place: self.roots.iter().position(same).unwrap_or_default(),
                rules: Rules::of(&self.ignore, root)?,
                request: root.clone(),
                path,
            });
        }
        Ok(rooted)
    }
}

/// A root of a request.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing is watched on this system")
)]
pub(super) struct Rooted {
    pub(super) place: usize,
    pub(super) request: RootRequest,
    pub(super) rules: Rules,
    pub(super) path: Vec<u8>,
}

/// Why no watch took place.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// A root's path is relative or holds `..`.
    #[error("`{}` cannot be watched: a root is an absolute path without `..`", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// A root lies in another.
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
    /// The system has nothing that this crate can watch by.
    #[error("directories cannot be watched on this system, only on Linux: scan them on a schedule instead")]
    NotAvailable,
    /// The user has too many inotify instances.
    #[error("the user's inotify instances are used up: raise the sysctl fs.inotify.max_user_instances")]
    Instances(#[source] io::Error),
    /// fanotify was asked for and may not be used.
    #[error("fanotify may not be used: it takes CAP_SYS_ADMIN; the method `inotify` takes no right")]
    NotPermitted(#[source] io::Error),
    /// The system refused.
    #[error("could not begin to watch")]
    Io(#[from] io::Error),
}

impl From<BadRoots> for WatchError {
    fn from(bad: BadRoots) -> Self {
        match bad {
            BadRoots::Path(path) => Self::Path { path },
            BadRoots::Nested { outer, inner } => Self::Nested { outer, inner },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begin_would_refuse_is_found_before() {
        let check = |roots: &[&str], ignore: &[&str]| {
            let mut request = WatchRequest::new(roots.iter().copied().map(RootRequest::new).collect());
            request.ignore = ignore.iter().copied().map(str::to_owned).collect();
            request.check()
        };
        assert!(check(&["/srv", "/home"], &["*.tmp"]).is_ok());
        assert!(matches!(check(&["srv"], &[]), Err(WatchError::Path { .. })));
        assert!(matches!(
            check(&["/srv", "/srv/x"], &[]),
            Err(WatchError::Nested { .. })
        ));
        assert!(matches!(check(&["/srv"], &["[z-a]"]), Err(WatchError::Pattern(_))));
    }
}
