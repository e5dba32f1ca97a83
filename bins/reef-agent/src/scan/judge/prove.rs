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
        self.bench.proofs.most(&self.instance(), bytes)
    }

    /// Finds it out where a file waits for it. No session is open meanwhile, whose answers would have to wait.
    ///
    /// # Errors
    /// When clamd is away, or does not come to it.
    pub(super) async fn prove(&mut self) -> Result<(), ScanError> {
        let wanted = self.wants_proof.take();
        let lengths = self.queue.iter().map(|job| job.stat.size).chain(wanted);
        let Some(longest) = lengths.filter(|bytes| self.looks_at(*bytes).is_none()).max() else {
            return Ok(());
        };
        let found = tokio::select! {
            biased;
            // Nothing is asked any more.
            () = self.bench.stop.cancelled() => return Ok(()),
            found = self.bench.proofs.find(self.instance(), longest) => found,
        };
        self.wants_proof = found.is_err().then_some(longest);
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
