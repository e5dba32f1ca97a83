//! Fresh signatures: freshclam is run, clamd loads what it brought, and a canary shows that it still detects.
mod age;
mod freshclam;
#[cfg(test)]
mod tests;

pub(crate) use age::watch_age;
pub(crate) use freshclam::FreshclamEnd;

use crate::{
    keeper::{Canary, DatabaseFiles, KeeperHandle},
    settings::{ClamdSettings, SignatureSettings},
};
use clamd_proto::{ClamError, Daemon, ParseEndpointError, Version};
use freshclam::{Freshclam, FreshclamError};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};
use tokio::{
    task::spawn_blocking,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two looks at whether clamd has loaded what it was told to.
const LOOK: Duration = Duration::from_millis(500);

/// What an update came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Update {
    /// By what clamd judged before; none where it did not answer.
    pub(crate) before: Option<String>,
    /// By what it judges now.
    pub(crate) after: Option<String>,
    /// What freshclam did.
    pub(crate) freshclam: FreshclamEnd,
    /// Whether clamd has taken up what freshclam brought.
    pub(crate) loaded: Loaded,
    /// The end of what freshclam said.
    pub(crate) said: String,
    /// Whether clamd still found the test file afterwards; none where it was not tried.
    pub(crate) detects: Option<bool>,
    /// How long all of it took.
    pub(crate) duration_secs: f64,
}

/// Whether clamd has taken up new signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loaded {
    /// There was nothing new.
    NothingNew,
    /// It judges by the new daily database.
    Seen,
    /// It was told to, and took it up as far as can be seen: only the daily database shows in its version.
    Told,
    /// It was told to, and still judged by the old ones when the time was over. Its log says why.
    NotSeen,
}

/// Why signatures could not be updated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// It is switched off.
    #[error("freshclam may not be run here: `signatures.freshclam` is `false`")]
    Off,
    /// Another update is under way.
    #[error("signatures are being updated already")]
    UnderWay,
    /// freshclam failed.
    #[error(transparent)]
    Freshclam(#[from] FreshclamError),
    /// clamd was not there to be told.
    #[error("freshclam brought new signatures, and clamd could not be told to load them; it does when it starts")]
    Reload {
        /// Why.
        source: ClamError,
    },
}

/// Updates clamd's signatures, one update at a time.
pub(crate) struct Updater {
    freshclam: Option<Freshclam>,
    daemon: Daemon,
    database_directory: Option<PathBuf>,
    timeout: Duration,
    keeper: KeeperHandle,
    under_way: tokio::sync::Mutex<()>,
}

impl Updater {
    /// Of the configuration's sections: make another one where they change.
    ///
    /// # Errors
    /// When clamd's endpoint is none, which the check of the configuration reports with its place.
    pub(crate) fn new(
        settings: &SignatureSettings,
        clamd: &ClamdSettings,
        keeper: KeeperHandle,
    ) -> Result<Self, ParseEndpointError> {
        Ok(Self {
            freshclam: Freshclam::of(settings),
            daemon: Daemon::new(clamd.endpoint.parse()?),
            database_directory: clamd.database_directory.clone(),
            timeout: settings.timeout.get(),
            keeper,
            under_way: tokio::sync::Mutex::new(()),
        })
    }

    /// Runs freshclam, has clamd load what it brought, and tries it. Dropping the future, or `stop`, ends freshclam.
    ///
    /// # Errors
    /// When freshclam cannot be run or fails, or clamd cannot be told.
    pub(crate) async fn update(&self, stop: &CancellationToken) -> Result<Update, UpdateError> {
        let _one = self.under_way.try_lock().map_err(|_| UpdateError::UnderWay)?;
        let freshclam = self.freshclam.as_ref().ok_or(UpdateError::Off)?;
        let started = Instant::now();
        let before = self.daemon.version().await.ok();
        let files = self.files().await;
        let said = freshclam.run(self.timeout, stop).await?;
        let files_now = self.files().await;
        let on_disk = files_now.as_ref().and_then(|files| files.daily).max(said.daily);
        // It may be clamd that is behind: freshclam's own service could not tell it.
        let is_behind = on_disk > before.as_ref().and_then(number);
        let loaded = if said.end == FreshclamEnd::Updated || files_now != files || is_behind {
            self.reload(on_disk.filter(|_| is_behind), stop).await?
        } else {
            Loaded::NothingNew
        };
        let canary = match loaded {
            Loaded::NothingNew => None,
            _ => stop.run_until_cancelled(self.keeper.canary()).await.flatten(),
        };
        let after = self.daemon.version().await.ok();
        let update = Update {
            before: before.map(|version| version.to_string()),
            after: after.map(|version| version.to_string()),
            freshclam: said.end,
            loaded,
            said: said.text,
            detects: canary.as_ref().map(Canary::is_found),
            duration_secs: started.elapsed().as_secs_f64(),
        };
        if loaded == Loaded::NotSeen {
            warn!(
                after = update.after,
                "clamd was told to load new signatures and has not; its log says why"
            );
        } else {
            info!(
                freshclam = ?update.freshclam, ?loaded, before = update.before, after = update.after,
                "signatures were looked after"
            );
        }
        Ok(update)
    }

    async fn files(&self) -> Option<DatabaseFiles> {
        let directory = self.database_directory.clone()?;
        spawn_blocking(move || DatabaseFiles::read(&directory)).await.ok()?.ok()
    }

    /// Tells clamd to load, and waits until it judges by `wanted`, where that shows.
    async fn reload(&self, wanted: Option<u32>, stop: &CancellationToken) -> Result<Loaded, UpdateError> {
        let told = self.daemon.reload().await;
        told.map_err(|source| UpdateError::Reload { source })?;
        let Some(wanted) = wanted else {
            return Ok(Loaded::Told);
        };
        let deadline = Instant::now() + self.timeout;
        while Instant::now() < deadline && !stop.is_cancelled() {
            // One that loads without `ConcurrentDatabaseReload` does not answer meanwhile.
            let version = self.daemon.version().await.ok();
            if version.as_ref().and_then(number) >= Some(wanted) {
                return Ok(Loaded::Seen);
            }
            stop.run_until_cancelled(time::sleep(LOOK)).await;
        }
        Ok(Loaded::NotSeen)
    }
}

fn number(version: &Version) -> Option<u32> {
    version.database.map(|database| database.number)
}
