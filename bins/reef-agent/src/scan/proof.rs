//! Up to which length clamd looks at files: tried once for each clamd, when the first file comes for which it matters.
//!
//! To a longer file clamd says `OK` without having looked, so no verdict on a long file counts before this is known.
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
}

impl Proofs {
    /// Longer files, in bytes, are called clean unread; `u64::MAX` where none is, or where it cannot be told. `None` where it is
    /// not known yet.
    pub(super) fn most(&self, of: &Instance) -> Option<u64> {
        let known = self.lock();
        let proof = known.proofs.iter().find(|proof| proof.of == *of)?;
        (proof.at.elapsed() < GOOD_FOR).then_some(proof.most)
    }

    /// The same, tried where it is not known.
    ///
    /// # Errors
    /// When clamd is away, or does not come to it.
    pub(super) async fn find(&self, of: Instance) -> Result<u64, ClamError> {
        let _trying = self.trying.lock().await;
        if let Some(most) = self.most(&of) {
            return Ok(most);
        }
        let looked = match look(&of.endpoint, of.max_file_size).await {
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
        known.proofs.insert(0, Proof { of, at, most });
        Ok(most)
    }

    /// A connection was lost: whoever answers the next one may be another.
    pub(super) fn forget(&self) {
        self.lock().proofs.clear();
    }

    /// Whether nothing is known.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().proofs.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
