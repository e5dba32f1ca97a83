//! Whether clamd looks at files as long as it is said to: for longer ones it says `OK` without having looked.
use super::{
    KeeperSettings,
    canary::{in_memory, verdict},
};
use clamd_proto::{ClamError, Daemon, Request, Verdict};

/// Beyond this it is not tried: clamd reads and hashes all of it.
const MOST: u64 = 512 << 20;
/// A file of this length is looked at by every clamd.
const SHORT: u64 = 4096;
/// How exactly clamd's own limit is found out.
const CLOSE: u64 = 1 << 20;

/// Up to which length clamd looks at files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// As far as `clamd.max_file_size` says.
    Whole,
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

/// Tries a file of `max_file_size` whose first bytes are malware, and where clamd calls it clean, finds out the length up to
/// which it does not. `None` where it cannot be told: clamd is reached by TCP, the limit is very high, or its signatures do
/// not match the test file with anything behind it.
///
/// Files above clamd's limit cost it nothing; one below costs about what one clean file of that length does.
pub(super) async fn look(settings: &KeeperSettings) -> Result<Option<Looked>, ClamError> {
    let most = settings.max_file_size;
    if !settings.endpoint.passes_descriptors() || !(SHORT..=MOST).contains(&most) {
        return Ok(None);
    }
    let daemon = settings.daemon();
    if !matches!(try_at(&daemon, SHORT).await?, Seen::Found) {
        return Ok(None);
    }
    match try_at(&daemon, most).await? {
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

async fn try_at(daemon: &Daemon, length: u64) -> Result<Seen, ClamError> {
    let file = in_memory(length).map_err(|error| ClamError::Input(std::sync::Arc::new(error)))?;
    Ok(match verdict(daemon, Request::File(file)).await? {
        Verdict::Infected { .. } => Seen::Found,
        Verdict::LimitExceeded { .. } => Seen::Announced,
        Verdict::Clean => Seen::Missed,
    })
}
