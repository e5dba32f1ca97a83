//! The key of a client: one for all that speak to a server, and to be exchanged while they do.
use crate::{
    SetupError,
    setup::{API_KEY, hidden},
};
use core_model::Secret;
use reqwest::header::{HeaderName, HeaderValue};
use std::{fmt, sync::Arc};
use tokio::sync::watch;

/// What is sent as `X-API-KEY`. Clones are the same key: when it is replaced, each client that has it sends the new one
/// with its next attempt, and repeats what was refused as unauthorized with the old one meanwhile.
#[derive(Clone)]
pub struct ApiKey(Arc<watch::Sender<Secret>>);

impl ApiKey {
    /// This key. Whether it can be sent in a header is found out when a client is made.
    pub fn new(key: Secret) -> Self {
        Self(Arc::new(watch::Sender::new(key)))
    }

    /// The key as it is now.
    pub fn current(&self) -> Secret {
        self.0.borrow().clone()
    }

    /// Puts `key` in its place, for all that share it.
    ///
    /// # Errors
    /// [`SetupError::Header`] when it cannot be sent in a header; the one before stays.
    pub fn replace(&self, key: Secret) -> Result<(), SetupError> {
        hidden("api_key", "", &key)?;
        self.0.send_replace(key);
        Ok(())
    }

    /// Tells of each exchange from now on.
    pub fn subscribe(&self) -> watch::Receiver<Secret> {
        self.0.subscribe()
    }
}

impl From<Secret> for ApiKey {
    fn from(key: Secret) -> Self {
        Self::new(key)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// The header of a key that was found fit for one when the client was made, or the key replaced.
pub(crate) fn header(key: &Secret) -> Option<(HeaderName, HeaderValue)> {
    hidden("api_key", "", key).ok().map(|value| (API_KEY, value))
}
