//! What is wanted, as a walk and as files that were named themselves.
use super::{
    error::ScanError,
    wanted::{How, Wanted},
};
use crate::settings::ClamdSettings;
use clamd_proto::Endpoint;
use fsscan::{RootRequest, WalkRequest};
use std::path::{Path, PathBuf};

/// What is scanned.
pub(super) struct Plan {
    pub(super) request: WalkRequest,
    /// Files that were named themselves.
    pub(super) singles: Vec<PathBuf>,
    /// Longer files are over the limit.
    pub(super) most: u64,
    /// Walking threads.
    pub(super) threads: usize,
}

impl Plan {
    pub(super) fn new(clamd: &ClamdSettings, wanted: &Wanted, how: &How) -> Result<Self, ScanError> {
        let most = most(clamd, wanted)?;
        let (mut roots, mut singles) = (Vec::new(), Vec::new());
        for named in &wanted.paths {
            let path = std::path::absolute(named).map_err(|source| ScanError::Path {
                path: named.clone(),
                source,
            })?;
            if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
                singles.push(path);
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            request: WalkRequest::new(roots),
            singles,
            most,
            threads: how.threads.map_or(cores.min(4), usize::from),
        })
    }
}

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
