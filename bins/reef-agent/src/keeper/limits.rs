//! Whether clamd looks at files as long as it is said to: for longer ones it says `OK` without having looked.
use super::{
    TIMEOUTS,
    canary::{in_memory, verdict},
};
use clamd_proto::{ClamError, Daemon, Endpoint, Request, Verdict};
use core_model::ByteSize;
use std::{fs, os::unix::fs::MetadataExt as _};
use tracing::warn;

/// Beyond this, in bytes, it is not tried: clamd reads and hashes all of it.
pub(crate) const MOST_PROVED: u64 = 512 << 20;
/// A file of this length is looked at by every clamd.
const SHORT: u64 = 4096;
/// How exactly clamd's own limit is found out.
const CLOSE: u64 = 1 << 20;

/// Up to which length clamd looks at files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// As far as `clamd.max_file_size` says.
    Whole,
    /// As far as can be tried; `clamd.max_file_size` says more.
    Unproved {
        /// It looks at files of this length, in bytes.
        at: u64,
    },
    /// Not so far, and it says so (`AlertExceedsMax yes`): nothing is taken for clean unread.
    Announced,
    /// Not so far, and it calls what is longer clean.
    Less {
        /// It looks at files of this length, in bytes.
        at: u64,
        /// It does not look at files of this length.
        not_at: u64,
    },
}

/// What clamd makes of malware in a file of some length.
enum Seen {
    Found,
    Announced,
    Missed,
}

/// Tries a file of `max_file_size` bytes, or of the longest that can be tried, whose first bytes are malware; and where clamd
/// calls it clean, finds out the length up to which it does not. `None` where it cannot be told: clamd is reached by TCP, the
/// limit is very low, or its signatures do not match the test file with anything behind it.
///
/// Files above clamd's limit cost it nothing; one below costs about what one clean file of that length does.
///
/// # Errors
/// When clamd gives no verdict.
pub(crate) async fn look(endpoint: &Endpoint, max_file_size: u64) -> Result<Option<Looked>, ClamError> {
    if !endpoint.passes_descriptors() || max_file_size < SHORT {
        return Ok(None);
    }
    let most = max_file_size.min(MOST_PROVED);
    let daemon = Daemon::new(endpoint.clone()).timeouts(TIMEOUTS);
    if !matches!(try_at(&daemon, SHORT).await?, Seen::Found) {
        return Ok(None);
    }
    match try_at(&daemon, most).await? {
        Seen::Found if most < max_file_size => return Ok(Some(Looked::Unproved { at: most })),
        Seen::Found => return Ok(Some(Looked::Whole)),
        Seen::Announced => return Ok(Some(Looked::Announced)),
        Seen::Missed => {}
    }
    let (mut at, mut not_at) = (SHORT, most);
    while not_at - at > CLOSE {
        let middle = at + (not_at - at) / 2;
        match try_at(&daemon, middle).await? {
            Seen::Found => at = middle,
            Seen::Announced | Seen::Missed => not_at = middle,
        }
    }
    Ok(Some(Looked::Less { at, not_at }))
}

/// Says in the log what of `max_file_size` bytes does not hold.
pub(crate) fn say(looked: Looked, max_file_size: u64) {
    match looked {
        Looked::Less { at, not_at } => warn!(
            looks_at = %ByteSize::new(at).human(),
            not_at = %ByteSize::new(not_at).human(),
            max_file_size = %ByteSize::new(max_file_size).human(),
            "clamd looks at less than `clamd.max_file_size` says, and calls longer files clean unread: set it to what \
             `MaxFileSize` and `MaxScanSize` in clamd.conf say, or raise those"
        ),
        Looked::Unproved { at } => warn!(
            looks_at = %ByteSize::new(at).human(),
            max_file_size = %ByteSize::new(max_file_size).human(),
            "`clamd.max_file_size` says more than can be tried: that clamd looks at longer files is taken on trust, so see that \
             `MaxFileSize` and `MaxScanSize` in clamd.conf say as much"
        ),
        Looked::Whole | Looked::Announced => {}
    }
}

/// What tells one clamd from the next behind the same path: it makes another socket when it starts.
pub(crate) fn socket(endpoint: &Endpoint) -> Option<(u64, i64, i64)> {
    let Endpoint::Unix(path) = endpoint else { return None };
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

async fn try_at(daemon: &Daemon, length: u64) -> Result<Seen, ClamError> {
    let file = in_memory(length).map_err(|error| ClamError::Input(std::sync::Arc::new(error)))?;
    Ok(match verdict(daemon, Request::File(file)).await? {
        Verdict::Infected { .. } => Seen::Found,
        Verdict::LimitExceeded { .. } => Seen::Announced,
        Verdict::Clean => Seen::Missed,
    })
}
