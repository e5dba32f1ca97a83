//! What keeps the store well while it serves: backups, room given back, snapshots seen through, and a word for `/health`
//! when it is not well.
use crate::{
    context::{self, Context},
    settings::Live,
};
use chrono::{DateTime, TimeDelta, Utc};
use fleet_core::{Fleet, Opened, SqliteStore, Statistics};
use serde_json::{Map, Value, json};
use state_sqlite::Story;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use transport_http::Status;

/// How often it looks whether a backup is due, and gives room back.
const ROUND: Duration = Duration::from_secs(60);
/// After a failure, dropping what a snapshot did not name is tried again this much later.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The store's keeper.
pub(crate) struct Keeper {
    store: SqliteStore,
    file: PathBuf,
    live: watch::Receiver<Arc<Live>>,
    opened: Opened,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last_backup: Option<DateTime<Utc>>,
    backup_error: Option<String>,
    /// Why the last look at the store failed.
    error: Option<String>,
    /// Agents that were asked for a snapshot and have not begun one.
    owing: u64,
    has_agents: bool,
}

impl Keeper {
    pub(crate) fn new(context: &Context, store: SqliteStore, opened: Opened) -> Arc<Self> {
        let newest = context
            .backups()
            .list()
            .unwrap_or_default()
            .first()
            .map(|backup| backup.taken_at);
        Arc::new(Self {
            store,
            file: context.database.clone(),
            live: context.changes(),
            seen: Mutex::new(Seen {
                last_backup: newest,
                owing: opened.agents_asked,
                ..Seen::default()
            }),
            opened,
        })
    }

    /// Takes backups and gives room back, until `stop`. What is under way then is left: a backup that did not end is
    /// none.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut live = self.live.clone();
        loop {
            let now = Arc::clone(&live.borrow_and_update());
            if stop.run_until_cancelled(self.keep(&now, Utc::now())).await.is_none() {
                return Ok(());
            }
            let next = async { drop(time::timeout(ROUND, live.changed()).await) };
            if stop.run_until_cancelled(next).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes a backup where one is due, and gives back what nobody uses.
    async fn keep(&self, live: &Live, now: DateTime<Utc>) {
        if self.is_due(live, now) {
            let backups = context::backups(live, &self.file);
            match self.store.back_up(backups, now).await {
                Ok(backup) => {
                    tracing::info!(file = %backup.path.display(), bytes = backup.bytes, "took a backup of the store");
                    let mut seen = self.seen();
                    seen.last_backup = Some(backup.taken_at);
                    seen.backup_error = None;
                }
                Err(error) => {
                    let text = format!("{:#}", anyhow::Error::from(error));
                    tracing::error!(error = text, "no backup of the store could be taken");
                    self.seen().backup_error = Some(text);
                }
            }
        }
        if let Err(error) = self.store.tidy().await {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(error, "the store could not be tidied");
        }
    }

    /// What the last look at the fleet came to.
    pub(crate) fn saw(&self, fleet: Result<&Statistics, String>) {
        let mut seen = self.seen();
        match fleet {
            Ok(sums) => {
                seen.error = None;
                seen.owing = sums.agents_owing_snapshot;
                seen.has_agents = sums.online + sums.degraded + sums.offline > 0;
            }
            Err(error) => seen.error = Some(error),
        }
    }

    /// The component `store` of `/health`.
    pub(crate) fn health(&self) -> (Status, Map<String, Value>) {
        let seen = self.seen();
        let mut status = Status::Healthy;
        let mut details: Vec<String> = Vec::new();
        let mut say = |worse: Status, detail: String| {
            status = status.max(worse);
            details.push(detail);
        };
        if let Some(failure) = self.store.write_failure() {
            let remedy = if failure.is_full {
                "free space on its disk; agents keep what they have and try again"
            } else {
                "see what the system's log says of its disk; agents keep what they have and try again"
            };
            let (seconds, file) = (failure.lasts.as_secs(), self.file.display());
            let detail = format!(
                "`{file}` cannot be written for {seconds} s ({}): {remedy}",
                failure.detail
            );
            say(Status::Unhealthy, detail);
        } else if let Some(error) = &seen.error {
            say(Status::Unhealthy, error.clone());
        }
        if let Some(error) = &seen.backup_error {
            say(Status::Degraded, format!("no backup could be taken: {error}"));
        }
        if seen.owing > 0 {
            let detail = format!(
                "{} agents were asked for a full snapshot and have not begun one yet",
                seen.owing
            );
            say(Status::Degraded, detail);
        }
        if matches!(self.opened.story, Story::Rebuilt { .. }) && !seen.has_agents {
            let detail = "it was built anew and knows no agent: every agent has to enrol again".to_owned();
            say(Status::Degraded, detail);
        }
        let mut block = map(json!({"size_mb": self.store.size() as f64 / f64::from(1 << 20)}));
        block.extend(seen.last_backup.map(|at| ("last_backup".to_owned(), json!(at))));
        if !matches!(self.opened.story, Story::New | Story::Sound) {
            block.insert("recovered".to_owned(), self.opened.story.to_string().into());
        }
        if !details.is_empty() {
            block.insert("detail".to_owned(), details.join("; ").into());
        }
        (status, block)
    }

    fn is_due(&self, live: &Live, now: DateTime<Utc>) -> bool {
        let interval = TimeDelta::from_std(live.store.backup_interval.get()).unwrap_or(TimeDelta::MAX);
        let last = self.seen().last_backup;
        // A backup from the future is of a clock that was set back since.
        live.store.backup_enabled && last.is_none_or(|last| now - last >= interval || last > now)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops what whole snapshots did not name, a step at a time, until `stop`. What an earlier process left of that is done
/// first.
pub(crate) async fn see_snapshots_through(
    fleet: Arc<Fleet<SqliteStore>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let wait = match fleet.drop_unnamed(Utc::now()).await {
            Ok(true) => None,
            Ok(false) => Some(Duration::MAX),
            Err(error) => {
                // The store has said it, and a step is all or nothing.
                tracing::debug!(error = &error as &dyn std::error::Error, "a step of a snapshot failed");
                Some(AFTER_FAILURE)
            }
        };
        let more = async {
            match wait {
                None => {}
                Some(wait) => drop(time::timeout(wait, fleet.until_more_to_drop()).await),
            }
        };
        if stop.run_until_cancelled(more).await.is_none() || stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Deletes what removed agents left, a step at a time, until `stop`; what an earlier process left of that first.
pub(crate) async fn see_removals_through(
    fleet: Arc<Fleet<SqliteStore>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let next = match fleet.purge_removed().await {
            Ok(true) => None,
            Ok(false) => Some(Duration::MAX),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a step of a removal failed");
                Some(AFTER_FAILURE)
            }
        };
        let more = async {
            if let Some(wait) = next {
                drop(time::timeout(wait, fleet.until_more_to_purge()).await);
            }
        };
        if stop.run_until_cancelled(more).await.is_none() || stop.is_cancelled() {
            return Ok(());
        }
    }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
