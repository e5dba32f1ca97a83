//! Why a scan was not made, or not to its end.
use clamd_proto::ClamError;
use core_model::chain;
use fsscan::WalkError;
use state_sqlite::StateError;
use std::{io, path::PathBuf};
use tokio::task::JoinError;

/// Why a scan was not made, or has no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The endpoint cannot be understood; the check of the configuration refuses such a one.
    #[error("nothing was scanned: `clamd.endpoint` is none")]
    Endpoint(#[source] clamd_proto::ParseEndpointError),
    /// A path cannot be made absolute.
    #[error("nothing was scanned: `{}` is no path", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// clamd is not there.
    #[error("nothing was scanned")]
    Clamd(#[source] ClamError),
    /// The paths cannot be walked.
    #[error("nothing was scanned")]
    Walk(#[from] WalkError),
    /// What is known of files could not be read or stored: never the end of a scan.
    #[error("what is known of files cannot be read or stored")]
    Verdicts(#[from] StateError),
    /// Some part of this program panicked.
    #[error("a part of the scan was lost inside this program")]
    Lost(#[from] JoinError),
    /// There is no randomness.
    #[error("nothing was scanned: the system gives no random bits for an id")]
    Random(#[source] getrandom::Error),
}

impl ScanError {
    /// What was wrong, for the middle of a scan, when it is not true that nothing was scanned.
    pub(super) fn in_the_middle(&self) -> String {
        match self {
            Self::Clamd(error) => chain(error),
            other => chain(other),
        }
    }

    /// What clamd said, where it was not there: a daemon tries again when it is.
    pub(crate) const fn no_clamd(&self) -> Option<&ClamError> {
        match self {
            Self::Clamd(error) => Some(error),
            _ => None,
        }
    }
}
