//! What is wanted, as a walk and as files that were named themselves.
use super::{
    error::ScanError,
    wanted::{How, Wanted},
};
use crate::settings::ClamdSettings;
use clamd_proto::Endpoint;
use fsscan::{RootRequest, Rules, ScanRequest, WalkRequest};
use std::{
    collections::HashSet,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is scanned.
pub(super) struct Plan {
    pub(super) request: WalkRequest,
    /// Files that were named themselves, and that the walk does not meet.
    pub(super) singles: Vec<PathBuf>,
    /// All files that were named themselves.
    pub(super) named: Arc<Named>,
    /// Longer files are over the limit.
    pub(super) most: u64,
    /// Walking threads.
    pub(super) threads: usize,
}

/// Files that were named themselves, by the paths under which they are judged.
#[derive(Debug, Default)]
pub(super) struct Named(HashSet<PathBuf>);

impl Named {
    /// Whether this one was.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        !self.0.is_empty() && self.0.contains(Path::new(OsStr::from_bytes(path)))
    }
}

impl Plan {
    pub(super) fn new(clamd: &ClamdSettings, wanted: &Wanted, how: &How) -> Result<Self, ScanError> {
        let most = most(clamd, wanted)?;
        let (mut roots, mut files) = (Vec::new(), Vec::new());
        for named in &wanted.paths {
            let path = std::path::absolute(named).map_err(|source| ScanError::Path {
                path: named.clone(),
                source,
            })?;
            if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
                files.push(path);
                continue;
            }
            roots.push(RootRequest {
                ignore: wanted.exclude.clone(),
                max_file_size: Some(most),
                follow_symlinks: wanted.follow_symlinks,
                one_file_system: wanted.one_file_system,
                ..RootRequest::new(clean(&path))
            });
        }
        let (singles, named) = once(files, &roots, wanted.is_recursive);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            request: WalkRequest::new(roots),
            singles,
            named: Arc::new(named),
            most,
            threads: how.threads.map_or(cores.min(4), usize::from),
        })
    }
}

/// Each file once: not where it was named before, by whatever path, nor where the walk meets it.
fn once(files: Vec<PathBuf>, roots: &[RootRequest], is_recursive: bool) -> (Vec<PathBuf>, Named) {
    let (mut singles, mut named, mut seen) = (Vec::new(), Named::default(), HashSet::new());
    for path in files {
        let real = clean(&path);
        if !seen.insert(real.clone()) {
            continue;
        }
        if roots.iter().any(|root| meets(root, &real, is_recursive)) {
            named.0.insert(real);
        } else {
            named.0.insert(path.clone());
            singles.push(path);
        }
    }
    (singles, named)
}

/// Whether a walk of `root` gives the file at `path` to clamd: what was named is judged, whatever patterns leave out.
fn meets(root: &RootRequest, path: &Path, is_recursive: bool) -> bool {
    let Ok(relative) = path.strip_prefix(&root.path) else {
        return false;
    };
    let Ok(rules) = Rules::new(&ScanRequest::new(Vec::new()), root) else {
        return false;
    };
    let is_kept = |above: &Path| {
        let is_root = above.as_os_str().is_empty();
        is_root || (is_recursive && !is_trap(above) && !rules.check(above, true).is_left_out())
    };
    let volume = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    relative.ancestors().skip(1).all(is_kept)
        && !rules.check(relative, false).is_left_out()
        && (!root.one_file_system || volume(path) == volume(&root.path))
}

/// Whether it is a directory in which a file lies for the moment in which it is taken away.
fn is_trap(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default();
    name.as_bytes().starts_with(TRAP)
}

/// How the names begin of directories in which files lie for the moment in which they are taken away.
pub(super) const TRAP: &[u8] = b".reef-agent-";

/// The longest file that is judged.
pub(super) fn most(clamd: &ClamdSettings, wanted: &Wanted) -> Result<u64, ScanError> {
    let endpoint: Endpoint = clamd.endpoint.parse().map_err(ScanError::Endpoint)?;
    let mut most = clamd.max_file_size.bytes();
    if matches!(endpoint, Endpoint::Tcp { .. }) {
        most = most.min(clamd.stream_max_length.bytes());
    }
    Ok(wanted.max_file_size.map_or(most, |asked| most.min(asked.bytes())))
}

/// Without `.` and `..`: a root holds neither.
fn clean(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
