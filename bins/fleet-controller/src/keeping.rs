//! What keeps the store well while it serves: backups, room given back, and a word for `/health` when it is not well.
use crate::context::Context;
use chrono::{DateTime, TimeDelta, Utc};
use daemon_kit::DatabaseSettings;
use fleet_core::SqliteStore;
use serde_json::{Map, Value, json};
use state_sqlite::{Backups, Story};
use std::sync::{Arc, Mutex, PoisonError};
use transport_http::{ServerTls, Status};

/// A certificate that ends sooner than this is renewed too late.
const RENEWED_BEFORE: TimeDelta = TimeDelta::days(14);

/// The store's keeper.
pub(crate) struct Keeper {
    store: SqliteStore,
    backups: Backups,
    settings: DatabaseSettings,
    story: Story,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last_backup: Option<DateTime<Utc>>,
    backup_error: Option<String>,
    /// Why the store could not be written when it was last tried.
    error: Option<String>,
}

impl Keeper {
    pub(crate) fn new(context: &Context, store: SqliteStore, story: Story) -> Arc<Self> {
        let backups = context.backups();
        let newest = backups.list().unwrap_or_default().first().map(|backup| backup.taken_at);
        Arc::new(Self {
            store,
            backups,
            settings: context.config.store.clone(),
            story,
            seen: Mutex::new(Seen {
                last_backup: newest,
                ..Seen::default()
            }),
        })
    }

    /// Takes a backup where one is due, and gives back what nobody uses. May block for seconds.
    pub(crate) fn keep(&self, now: DateTime<Utc>) {
        if self.is_due(now) {
            let taken = self.backups.take(self.store.database(), now);
            let mut seen = self.seen();
            match taken {
                Ok(backup) => {
                    tracing::info!(file = %backup.path.display(), bytes = backup.bytes, "took a backup of the store");
                    seen.last_backup = Some(backup.taken_at);
                    seen.backup_error = None;
                }
                Err(error) => {
                    let text = format!("{:#}", anyhow::Error::from(error));
                    tracing::error!(error = text, "no backup of the store could be taken");
                    seen.backup_error = Some(text);
                }
            }
        }
        if let Err(error) = self.store.database().tidy() {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "the store could not be tidied"
            );
        }
    }

    /// What the last attempt to write came to.
    pub(crate) fn wrote(&self, outcome: Result<(), String>) {
        self.seen().error = outcome.err();
    }

    /// The component `database` of `/health`.
    pub(crate) fn health(&self) -> (Status, Map<String, Value>) {
        let seen = self.seen();
        let mut status = Status::Healthy;
        let mut block = map(json!({"size_mb": self.store.database().size() as f64 / f64::from(1 << 20)}));
        block.extend(seen.last_backup.map(|at| ("last_backup".to_owned(), json!(at))));
        if !matches!(self.story, Story::New | Story::Sound) {
            block.insert("recovered".to_owned(), self.story.to_string().into());
        }
        if let Some(error) = &seen.backup_error {
            status = Status::Degraded;
            block.insert("backup_error".to_owned(), error.clone().into());
        }
        if let Some(error) = &seen.error {
            status = Status::Unhealthy;
            block.insert("detail".to_owned(), error.clone().into());
        }
        (status, block)
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        let interval = TimeDelta::from_std(self.settings.backup_interval.get()).unwrap_or(TimeDelta::MAX);
        let last = self.seen().last_backup;
        // A backup from the future is of a clock that was set back since.
        self.settings.backup_enabled && last.is_none_or(|last| now - last >= interval || last > now)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The component `tls` of `/health`.
pub(crate) fn tls_health(tls: &ServerTls, now: DateTime<Utc>) -> (Status, Map<String, Value>) {
    let expires_at = tls.expires_at();
    let status = match expires_at {
        Some(at) if at <= now => Status::Unhealthy,
        Some(at) if at - now < RENEWED_BEFORE => Status::Degraded,
        _ => Status::Healthy,
    };
    (status, map(json!({"expires_at": expires_at})))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
