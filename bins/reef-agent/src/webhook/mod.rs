//! Each detection as one POST to an address of the administrator's choice. It waits on disk until the receiver has taken
//! it, through crashes of the agent and outages of the receiver, within bounds.
//!
//! Requests are those of Standard Webhooks (standardwebhooks.com): `webhook-id` stays the same when one is sent again,
//! so that a receiver can leave out what it has seen, and `webhook-signature` says whose it is.
mod deliver;
mod failure;
mod payload;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use payload::Sender;

use crate::settings::WebhookSettings;
use chrono::{DateTime, Utc};
use core_model::{Backoff, Queue, QueueStats, Run};
use fleet_wire::Detection;
use payload::Event;
use serde_json::{Map, json};
use state_sqlite::{Bounds, Database, OpenError, OpenOptions, Outbox, StateError, WhenFull};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use transport_http::Status;

/// Waits after failures. People wait for what is told here, and one attempt costs a dead receiver next to nothing.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(15),
};

/// Why a detection could not be put into the queue. It is in the log and with the controller all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellError {
    /// The queue cannot be opened.
    #[error("the queue of the webhook could not be opened")]
    Open(#[source] OpenError),
    /// It cannot be written.
    #[error("the queue of the webhook could not be written")]
    Queue(#[source] StateError),
    /// It cannot be written as JSON.
    #[error("the detection could not be written as JSON")]
    Encode(#[source] serde_json::Error),
}

/// What became of detections so far, and what waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WebhookStatus {
    /// Taken by the receiver.
    pub(crate) sent: u64,
    /// Given up: refused for good, too old, or damaged on disk.
    pub(crate) given_up: u64,
    /// Attempts that failed.
    pub(crate) failed: u64,
    /// When the receiver last took one.
    pub(crate) last_success: Option<DateTime<Utc>>,
    /// Why the last attempt failed; none when it did not.
    pub(crate) error: Option<String>,
}

/// The webhook. Cheap to clone: all clones are one.
#[derive(Clone)]
pub(crate) struct Webhook {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    from: Sender,
    settings: watch::Receiver<WebhookSettings>,
    backoff: Backoff,
    /// Opened when it is first needed.
    queue: Mutex<Option<Outbox>>,
    queued: Notify,
    status: watch::Sender<WebhookStatus>,
}

impl Webhook {
    /// One whose queue lies at `path`. Nothing is opened before there is something to send, or something was left from
    /// before. Settings that change count at once.
    pub(crate) fn new(path: &Path, settings: watch::Receiver<WebhookSettings>, from: Sender) -> Self {
        Self::with_backoff(path, settings, from, BACKOFF)
    }

    fn with_backoff(path: &Path, settings: watch::Receiver<WebhookSettings>, from: Sender, backoff: Backoff) -> Self {
        Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                from,
                settings,
                backoff,
                queue: Mutex::default(),
                queued: Notify::new(),
                status: watch::Sender::default(),
            }),
        }
    }

    /// Puts a detection into the queue, where an address is configured. When it returns, no crash loses it. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When the queue cannot be opened or written.
    pub(crate) fn detected(&self, detection: &Detection, at: DateTime<Utc>) -> Result<(), TellError> {
        if self.inner.settings.borrow().url.is_none() {
            return Ok(());
        }
        let event = Event {
            at,
            detection: detection.clone(),
        };
        let body = serde_json::to_vec(&event).map_err(TellError::Encode)?;
        let queue = self.inner.queue().map_err(TellError::Open)?;
        let run = Run { records: 1, body };
        queue.enqueue(&[run], Utc::now()).map_err(TellError::Queue)?;
        self.inner.queued.notify_one();
        Ok(())
    }

    /// What became of detections so far.
    pub(crate) fn status(&self) -> watch::Receiver<WebhookStatus> {
        self.inner.status.subscribe()
    }

    /// What waits; nothing where nothing was ever queued.
    pub(crate) fn waiting(&self) -> Option<QueueStats> {
        let queue = self.inner.lock().clone();
        queue.and_then(|queue| queue.stats().ok())
    }

    /// The component `webhook` of `/health`; none where no address is configured. A receiver that is away makes nothing
    /// worse than degraded: detections wait.
    pub(crate) fn block(&self) -> Option<(Status, Map<String, serde_json::Value>)> {
        self.inner.settings.borrow().url.as_ref()?;
        let (status, waiting) = (self.inner.status.borrow().clone(), self.waiting().unwrap_or_default());
        let mut block = Map::new();
        block.insert("sent".to_owned(), status.sent.into());
        block.insert("given_up".to_owned(), (status.given_up + waiting.dropped).into());
        block.insert("last_success".to_owned(), json!(status.last_success));
        block.insert("waiting".to_owned(), waiting.records.into());
        block.insert("oldest".to_owned(), json!(waiting.oldest));
        let is_well = status.error.is_none();
        if let Some(error) = status.error {
            block.insert("last_error".to_owned(), error.into());
        }
        let word = if is_well { Status::Healthy } else { Status::Degraded };
        Some((word, block))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Option<Outbox>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue, opened where it is not yet, within the bounds of the settings.
    fn queue(&self) -> Result<Outbox, OpenError> {
        let mut queue = self.lock();
        let opened = match &*queue {
            Some(queue) => queue.clone(),
            None => {
                let opened = open(&self.path)?;
                *queue = Some(opened.clone());
                opened
            }
        };
        let settings = self.settings.borrow();
        opened.set_bounds(Bounds {
            max_bytes: settings.max_bytes.bytes(),
            max_age: settings.max_age.get(),
            // A scan must not wait for a receiver.
            when_full: WhenFull::DropOldest,
        });
        Ok(opened)
    }
}

/// One that is damaged begins anew: what waited in it is in the log and with the controller.
fn open(path: &Path) -> Result<Outbox, OpenError> {
    let try_open = || Outbox::open(&Database::open(path, OpenOptions::default())?);
    match try_open() {
        Err(OpenError::Corrupt { detail, .. }) => {
            tracing::error!(path = %path.display(), detail, "the queue of the webhook is damaged and begins anew; what waited in it is lost");
            state_sqlite::remove(path).map_err(|source| OpenError::Open {
                path: path.to_owned(),
                source,
            })?;
            try_open()
        }
        opened => opened,
    }
}
