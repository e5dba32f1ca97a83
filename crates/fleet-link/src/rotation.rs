//! Another key in the place of the agent's own, without a gap.
//!
//! Whatever cuts this off, the key on disk opens: the controller keeps the one before until the new one is used, and the
//! new one is used only when it is on disk. Another one is asked for only when the disk holds the key in use, because
//! asking ends one that was handed out before.
use crate::credentials::{CredentialError, CredentialFile, Credentials};
use core_model::Secret;
use fleet_wire::KeyResponse;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transport_http::{ApiKey, Client, HeaderMap, SendError, SetupError};

const PATH: &str = "/api/v1/agents/me/key";

/// Why the agent goes on with the key that it has. Each time the controller wants another one, it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum KeyRotationError {
    /// The controller gave none.
    #[error("the controller gave no other key")]
    Refused(#[source] Box<SendError>),
    /// It could not be stored.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// It cannot be sent.
    #[error("the controller gave a key that cannot be used")]
    Unusable(#[source] Box<SetupError>),
    /// The disk could not be asked, because the process is ending.
    #[error("the renewal of the key was interrupted")]
    Interrupted,
}

/// Gives the agent another key when its controller wants it to have one. Clones are the same.
#[derive(Clone)]
pub struct KeyRotation {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    key: ApiKey,
    file: CredentialFile,
    /// With the key in use. One renewal at a time.
    credentials: Mutex<Credentials>,
    is_wanted: AtomicBool,
    wanted: Notify,
}

impl KeyRotation {
    /// For the agent of `credentials`, which `file` holds. `key` is what `client`, and all else that speaks to the
    /// controller, sends: it is replaced when the new one is stored.
    pub fn new(client: Client, key: ApiKey, file: CredentialFile, credentials: Credentials) -> Self {
        let inner = Inner {
            client,
            key,
            file,
            credentials: Mutex::new(credentials),
            is_wanted: AtomicBool::new(false),
            wanted: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The controller wants the agent to have another key: wakes [`KeyRotation::run`].
    pub fn want(&self) {
        self.inner.is_wanted.store(true, Relaxed);
        self.inner.wanted.notify_one();
    }

    /// Renews the key each time that is wanted, until `stop`. What fails is logged where it is news.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut last = None;
        while stop.run_until_cancelled(self.inner.wanted.notified()).await.is_some() {
            // Not cut off by the end: it takes a request and two writes, and what is half done is done again.
            last = match self.rotate_if_wanted().await {
                Ok(_) => None,
                Err(error) => {
                    let error = core_model::chain(&error);
                    if last.as_ref() == Some(&error) {
                        debug!(error, "the key could still not be renewed");
                    } else {
                        warn!(
                            error,
                            "the key could not be renewed: the agent goes on with the one it has"
                        );
                    }
                    Some(error)
                }
            };
        }
    }

    /// Renews the key if that is wanted and not done yet; whether it was.
    ///
    /// # Errors
    /// See [`KeyRotationError`]: the agent then has the key that it had.
    pub async fn rotate_if_wanted(&self) -> Result<bool, KeyRotationError> {
        let is_wanted = self.inner.is_wanted.swap(false, Relaxed);
        if is_wanted {
            self.rotate().await?;
        }
        Ok(is_wanted)
    }

    /// Renews the key now. On success the next request of each client that shares it sends the new one, which ends the
    /// one before.
    ///
    /// # Errors
    /// See [`KeyRotationError`]: the agent then has the key that it had.
    pub async fn rotate(&self) -> Result<(), KeyRotationError> {
        let inner = &self.inner;
        let mut credentials = inner.credentials.lock().await;
        self.store(credentials.clone()).await?;
        let answer: KeyResponse = inner
            .client
            .post_json(PATH, &serde_json::json!({}), HeaderMap::new())
            .await
            .map_err(|error| KeyRotationError::Refused(Box::new(error)))?;
        let renewed = Credentials {
            api_key: Some(answer.api_key.clone()),
            ..credentials.clone()
        };
        self.store(renewed.clone()).await?;
        self.take_up(answer.api_key)?;
        *credentials = renewed;
        // What was wanted meanwhile, by a heartbeat and by WELCOME, is this.
        inner.is_wanted.store(false, Relaxed);
        info!("the agent's key was renewed; the one before ends when this one is first used");
        Ok(())
    }

    /// The agent runs on another machine from now on: that is written down with the key in use.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn note_machine(&self, machine: Option<String>) -> Result<(), KeyRotationError> {
        let mut credentials = self.inner.credentials.lock().await;
        let moved = Credentials {
            machine,
            ..credentials.clone()
        };
        self.store(moved.clone()).await?;
        *credentials = moved;
        Ok(())
    }

    fn take_up(&self, key: Secret) -> Result<(), KeyRotationError> {
        let replaced = self.inner.key.replace(key);
        replaced.map_err(|error| KeyRotationError::Unusable(Box::new(error)))
    }

    async fn store(&self, credentials: Credentials) -> Result<(), KeyRotationError> {
        let file = self.inner.file.clone();
        tokio::task::spawn_blocking(move || file.store(&credentials))
            .await
            .map_err(|_| KeyRotationError::Interrupted)?
            .map_err(Into::into)
    }
}

impl fmt::Debug for KeyRotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRotation")
            .field("file", &self.inner.file)
            .finish_non_exhaustive()
    }
}
