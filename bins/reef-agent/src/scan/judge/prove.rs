//! No verdict on a long file counts before it is known up to which length clamd looks at files.
use super::{Judge, Sink};
use crate::scan::{
    error::ScanError,
    proof::{BORDER, Instance},
};
use clamd_proto::{ClamError, ErrorKind};

impl<S: Sink> Judge<S> {
    /// Longer files, in bytes, clamd calls clean unread; `None` where that is not known and matters for a file of `bytes`.
    pub(super) fn looks_at(&self, bytes: u64) -> Option<u64> {
        if bytes <= BORDER || !self.now.prove_limits {
            return Some(u64::MAX);
        }
        self.bench.proofs.most(&self.instance())
    }

    /// Finds it out where a file waits for it. No session is open meanwhile, whose answers would have to wait.
    ///
    /// # Errors
    /// When clamd is away, or does not come to it.
    pub(super) async fn prove(&mut self) -> Result<(), ScanError> {
        let is_waited_for = self.queue.iter().any(|job| self.looks_at(job.stat.size).is_none());
        if !std::mem::take(&mut self.wants_proof) && !is_waited_for {
            return Ok(());
        }
        let found = tokio::select! {
            biased;
            // Nothing is asked any more.
            () = self.bench.stop.cancelled() => return Ok(()),
            found = self.bench.proofs.find(self.instance()) => found,
        };
        self.wants_proof = found.is_err();
        found.map(drop).map_err(ScanError::Clamd)
    }

    /// Whether a clamd that failed like this may have ended: the next one may have other limits.
    pub(super) fn note_loss(&self, error: &ClamError) {
        if matches!(error.kind(), ErrorKind::Lost | ErrorKind::Down) {
            self.bench.proofs.forget();
            self.bench.sights.forget();
        }
    }

    pub(super) fn instance(&self) -> Instance {
        Instance::new(
            &self.endpoint,
            self.version.as_ref(),
            self.now.clamd.max_file_size.bytes(),
        )
    }
}
