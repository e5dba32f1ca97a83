//! Records of agents.
use super::Fleet;
use crate::{
    Store, StoreError,
    agent::AgentIdentity,
    batch::{Batch, BatchError},
    files_v1::{FilesV1Batch, FilesV1Error, FilesV1Receipt},
    store::{FilesRefusal, IngestRefusal},
};
use chrono::{DateTime, Utc};
use fleet_wire::{IngestRequest, IngestResponse, files_v1};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::task;

/// A request's records were not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IngestError {
    /// The request is wrong as a whole.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The request in the file-scanner document's words is wrong.
    #[error(transparent)]
    FilesV1(#[from] FilesV1Error),
    /// Only a snapshot in a new stream tells what is true.
    #[error("this stream cannot go on here: open a new stream and send a full snapshot")]
    SnapshotWanted,
    /// The idempotency key came before with another body.
    #[error("this Idempotency-Key came before with another body")]
    KeyReused,
    /// The idempotency key cannot be one.
    #[error("an Idempotency-Key has 1 to 255 bytes")]
    Key,
    /// Checking it failed by a bug.
    #[error("the request could not be checked")]
    Check,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Fleet<S> {
    /// Takes consecutive records of one stream. When this returns, each is stored or rejected.
    ///
    /// # Errors
    /// When the request is wrong as a whole, the stream is not known, or the store fails.
    pub async fn ingest(
        &self,
        agent: &AgentIdentity,
        request: IngestRequest,
        now: DateTime<Utc>,
    ) -> Result<IngestResponse, IngestError> {
        // Reading thousands of bodies takes milliseconds; neither the sockets nor the writer should wait for that.
        let checked = task::spawn_blocking(move || Batch::check(&request)).await;
        let batch = Arc::new(checked.map_err(|_| IngestError::Check)??);
        match self.store.ingest(agent.id, Arc::clone(&batch), now).await? {
            Ok(taken) => {
                if taken.has_more_to_drop {
                    self.unnamed.notify_one();
                }
                self.detected.tell(agent, &taken.detected);
                Ok(IngestResponse {
                    accepted_through: batch.seqs.last,
                    rejected: batch.rejected.clone(),
                })
            }
            Err(IngestRefusal::SnapshotWanted) => Err(IngestError::SnapshotWanted),
        }
    }

    /// Takes a batch of the file-scanner document. With a `key` a repeat within a day changes nothing and gets the
    /// answer of the first; `body`, as it came, tells a repeat from another request under the same key.
    ///
    /// # Errors
    /// When an entry is wrong, the key was used for another body, or the store fails.
    pub async fn ingest_files(
        &self,
        agent: &AgentIdentity,
        key: Option<String>,
        body: &[u8],
        request: files_v1::Ingest,
        now: DateTime<Utc>,
    ) -> Result<FilesV1Receipt, IngestError> {
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255) {
            return Err(IngestError::Key);
        }
        let batch = Arc::new(FilesV1Batch::check(request, now)?);
        let fingerprint = Sha256::digest(body).into();
        match self.store.ingest_files(agent.id, key, fingerprint, batch, now).await? {
            Ok(receipt) => Ok(receipt),
            Err(FilesRefusal::KeyReused) => Err(IngestError::KeyReused),
        }
    }
}
