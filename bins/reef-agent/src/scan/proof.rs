//! Up to which length clamd looks at files: tried for each clamd, when a file comes for which it matters.
//!
//! To a longer file clamd says `OK` without having looked, so no verdict on a long file counts before this is known. To try
//! a length costs clamd what a clean file of that length does: so no more is tried than about twice what has come.
use crate::keeper::{Looked, look, say, socket};
use clamd_proto::{ClamError, Endpoint, Version};
use core_model::chain;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Every clamd looks at files of this length, in bytes: nobody sets `MaxFileSize` lower, and most scans meet no longer one.
pub(super) const BORDER: u64 = 1 << 20;
/// So long it is believed: a clamd whose socket another program holds for it may start anew unseen.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// So many are known at a time: there are more than one only while another endpoint takes over.
const MOST: usize = 4;

/// One clamd with its configuration: where one of these changes, it may have another limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Instance {
    endpoint: Endpoint,
    socket: Option<(u64, i64, i64)>,
    version: Option<Version>,
    max_file_size: u64,
}

impl Instance {
    /// The clamd that is behind `endpoint` now.
    pub(super) fn new(endpoint: &Endpoint, version: Option<&Version>, max_file_size: u64) -> Self {
        Self {
            endpoint: endpoint.clone(),
            socket: socket(endpoint),
            version: version.cloned(),
            max_file_size,
        }
    }
}

/// What is known of the limits of those that judge.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    known: Mutex<Known>,
    /// One at a time tries: whoever comes second finds what the first found.
    trying: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    proofs: Vec<Proof>,
    /// What was said last, and of which `clamd.max_file_size`.
    said: Option<(Looked, u64)>,
}

#[derive(Debug)]
struct Proof {
    of: Instance,
    at: Instant,
    most: u64,
    /// Nothing is known of longer files, in bytes.
    tried: u64,
}

impl Proofs {
    /// Longer files, in bytes, are called clean unread; `u64::MAX` where none is, or where it cannot be told. `None` where it is
    /// not known yet for files of `bytes`.
    pub(super) fn most(&self, of: &Instance, bytes: u64) -> Option<u64> {
        let known = self.lock();
        let proof = known.proofs.iter().find(|proof| proof.of == *of)?;
        (proof.at.elapsed() < GOOD_FOR && bytes <= proof.tried).then_some(proof.most)
    }

    /// The same, tried where it is not known.
    ///
    /// # Errors
    /// When clamd is away, or does not come to it.
    pub(super) async fn find(&self, of: Instance, bytes: u64) -> Result<u64, ClamError> {
        let _trying = self.trying.lock().await;
        if let Some(most) = self.most(&of, bytes) {
            return Ok(most);
        }
        let length = to_try(bytes, of.max_file_size);
        let looked = match look(&of.endpoint, length).await {
            Ok(looked) => looked,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "up to which length clamd looks at files cannot be tried");
                None
            }
        };
        let most = match looked {
            Some(Looked::Less { at, .. }) => at,
            Some(Looked::Whole | Looked::Unproved { .. } | Looked::Announced) | None => u64::MAX,
        };
        let is_open = looked == Some(Looked::Whole) && length < of.max_file_size;
        let tried = if is_open { length } else { u64::MAX };
        let mut known = self.lock();
        let told = looked.map(|looked| (looked, of.max_file_size));
        if let Some((looked, max_file_size)) = told
            && known.said != told
        {
            say(looked, max_file_size);
            known.said = told;
        }
        known.proofs.retain(|proof| proof.of != of);
        known.proofs.truncate(MOST - 1);
        let at = Instant::now();
        known.proofs.insert(0, Proof { of, at, most, tried });
        Ok(most)
    }

    /// A connection was lost: whoever answers the next one may be another.
    pub(super) fn forget(&self) {
        self.lock().proofs.clear();
    }

    /// Up to which length something is known; 0 where nothing is.
    #[cfg(test)]
    pub(super) fn tried(&self) -> u64 {
        self.lock().proofs.first().map_or(0, |proof| proof.tried)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length to try when a file of `bytes` comes: so much more that few others want another try.
fn to_try(bytes: u64, max_file_size: u64) -> u64 {
    bytes
        .checked_next_power_of_two()
        .map_or(max_file_size, |length| length.min(max_file_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_tried_that_serves_the_next_files_too_and_never_more_than_is_configured() {
        assert_eq!(to_try(BORDER + 1, 100 << 20), 2 << 20);
        assert_eq!(to_try(32 << 20, 100 << 20), 32 << 20);
        assert_eq!(to_try(80 << 20, 100 << 20), 100 << 20);
        assert_eq!(to_try(u64::MAX, u64::MAX), u64::MAX);
    }
}
