//! Loads the configuration anew when there is reason to, and publishes what changed.
use super::{
    Reload, ReloadCause, ReloadOutcome, ReloadReport, RemoteConfig, RemoteError, keys, remote::RemoteFile,
    watcher::FileWatcher,
};
use crate::{
    cli::{CommonArgs, Started},
    load::{ConfigError, FromController, Loaded, Override, load_what_can_be, load_with},
    surroundings::Surroundings,
};
use chrono::Utc;
use clap::ValueEnum;
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use telemetry_otel::LevelHandle;
use tokio::{
    sync::{Mutex, watch},
    time,
};
use tokio_util::sync::CancellationToken;

/// Editors write in several steps: so long after the first, all of them are done.
const SETTLE: Duration = Duration::from_millis(100);

/// The configuration of this process could not be completed at its start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The local files changed for the worse since they were first read.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Keeps the configuration of a process current. Clones of its [`ReloaderHandle`] give everything that tasks need.
pub struct Reloader<T: Reload> {
    handle: ReloaderHandle<T>,
}

/// A way to the current configuration, for tasks.
pub struct ReloaderHandle<T: Reload>(Arc<Inner<T>>);

impl<T: Reload> Clone for ReloaderHandle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<T: Reload> {
    source: Source,
    boot: T::Boot,
    live: watch::Sender<Arc<T::Live>>,
    report: watch::Sender<ReloadReport>,
    level: LevelHandle,
    /// One change at a time; holds what the controller wants.
    remote: Mutex<Option<RemoteConfig>>,
    file: RemoteFile,
}

/// How to load the configuration again as it was loaded at the start.
struct Source {
    config: Option<PathBuf>,
    overrides: Vec<Override<'static>>,
    around: Surroundings,
    default_level: &'static str,
    /// `-q` or `-v`: then the level is the caller's.
    is_level_fixed: bool,
    /// What is wrong in the local files was told, and stands at its default.
    is_partial: bool,
}

impl Source {
    fn load<T: Reload>(&self, remote: Option<&RemoteConfig>) -> Result<Loaded<T>, ConfigError> {
        let controller = remote.map(|remote| FromController {
            text: &remote.text,
            forbidden: T::LOCAL_ONLY,
        });
        let (spec, config) = (&T::SPEC, self.config.as_deref());
        if self.is_partial {
            return load_what_can_be(spec, config, &self.overrides, &self.around, controller).map(|(loaded, _)| loaded);
        }
        load_with(spec, config, &self.overrides, &self.around, controller)
    }

    /// With the controller's wish, if this machine allows it.
    fn load_allowed<T: Reload>(&self, remote: Option<&RemoteConfig>) -> Result<Loaded<T>, ReloadOutcome> {
        let loaded = self.load::<T>(remote).map_err(|error| ReloadOutcome::refused(&error))?;
        if remote.is_some() {
            let local = self.load::<T>(None).map_err(|error| ReloadOutcome::refused(&error))?;
            let wishes = loaded.settings.value.exceeds(&local.settings.value);
            if !wishes.is_empty() {
                let placed = wishes.into_iter().map(|(key, text)| {
                    let origin = loaded.settings.origin(&key);
                    (key, text, origin)
                });
                return Err(ReloadOutcome::exceeding(placed));
            }
        }
        Ok(loaded)
    }
}

/// `local` with what a controller sent to the process of this data directory, as the next start takes it; where that cannot
/// be found out or is not taken, `local` as it is.
pub(crate) fn with_controller<T: Reload, O: ValueEnum + Clone + Send + Sync + 'static>(
    common: &CommonArgs<O>,
    local: Loaded<T>,
    around: &Surroundings,
) -> Loaded<T> {
    let product = T::SPEC.finder.product;
    let data_dir = T::SPEC
        .finder
        .data_dir(product, common.data_dir.as_deref(), &local.variables, around);
    let remote = data_dir.ok().and_then(|dir| RemoteFile::in_dir(&dir.path).read().ok()?);
    let Some(remote) = remote else { return local };
    let source = Source {
        config: common.config.clone(),
        overrides: common.overrides(),
        around: around.clone(),
        default_level: "info",
        is_level_fixed: false,
        is_partial: false,
    };
    source.load_allowed(Some(&remote)).unwrap_or(local)
}

impl<T: Reload> Reloader<T> {
    /// Takes over from `started`: adds what a controller sent in an earlier run, which is left out, and said, where it no
    /// longer fits the local files. `more` are the keys that other options set, `default_level` the level of the log where
    /// nobody asks for another, both as at [`CommonArgs::begin`].
    ///
    /// # Errors
    /// When the configuration can no longer be loaded.
    pub fn begin<O>(
        common: &CommonArgs<O>,
        default_level: &'static str,
        more: &[Override<'static>],
        started: &Started<T>,
    ) -> Result<Self, StartError>
    where
        O: ValueEnum + Clone + Send + Sync + 'static,
    {
        let mut overrides = common.overrides();
        overrides.extend_from_slice(more);
        let source = Source {
            config: common.config.clone(),
            overrides,
            around: started.around.clone(),
            default_level,
            is_level_fixed: common.quiet || common.verbose > 0,
            is_partial: started.is_partial,
        };
        let file = RemoteFile::in_dir(&started.data_dir.path);
        let kept = file.read().unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "left out: what the controller had sent"
            );
            None
        });
        let (loaded, outcome, remote) = match source.load_allowed::<T>(kept.as_ref()) {
            Ok(loaded) => (loaded, ReloadOutcome::Applied { changed: Vec::new() }, kept),
            // Without a controller's wish the local files say what is wrong.
            Err(_) if kept.is_none() => (
                source.load::<T>(None)?,
                ReloadOutcome::Applied { changed: Vec::new() },
                None,
            ),
            Err(refused) => (source.load::<T>(None)?, refused, None),
        };
        let level = started.telemetry.level();
        set_level(&source, &level, &loaded);
        let (boot, live) = loaded.settings.value.split();
        let report = ReloadReport {
            at: Utc::now(),
            cause: ReloadCause::Start,
            outcome,
            needs_restart: Vec::new(),
            remote: remote.as_ref().map(|remote| (remote.version, remote.sha256.clone())),
        };
        report.tell();
        let inner = Inner {
            source,
            boot,
            live: watch::Sender::new(Arc::new(live)),
            report: watch::Sender::new(report),
            level,
            remote: Mutex::new(remote),
            file,
        };
        Ok(Self {
            handle: ReloaderHandle(Arc::new(inner)),
        })
    }

    /// For tasks.
    pub fn handle(&self) -> ReloaderHandle<T> {
        self.handle.clone()
    }

    /// Loads anew when a file changes and on SIGHUP, until `stop`.
    ///
    /// # Errors
    /// When the signal cannot be taken over.
    pub async fn run(&self, stop: CancellationToken) -> std::io::Result<()> {
        let mut hangup = Hangup::take()?;
        let mut files = self.handle.files();
        let mut watcher = FileWatcher::new(&files);
        let mut seen = contents(&files);
        loop {
            let cause = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = hangup.next() => ReloadCause::Signal,
                () = watcher.changed() => tokio::select! {
                    () = time::sleep(SETTLE) => ReloadCause::File,
                    () = hangup.next() => ReloadCause::Signal,
                    () = stop.cancelled() => return Ok(()),
                },
            };
            // Whatever else lies in the directory changes too: only what the files hold is a reason.
            let now = contents(&files);
            if cause == ReloadCause::File && now == seen {
                continue;
            }
            seen = now;
            self.handle.reload(cause).await;
            let found = self.handle.files();
            if found != files {
                watcher = FileWatcher::new(&found);
                seen = contents(&found);
                files = found;
            } else if !watcher.is_for(&found) {
                watcher = FileWatcher::new(&found);
                // What changed there since it was read and before it was watched.
                watcher.look_again();
            }
        }
    }
}

impl<T: Reload> ReloaderHandle<T> {
    /// What is in force since the start.
    pub fn boot(&self) -> &T::Boot {
        &self.0.boot
    }

    /// What is in force now.
    pub fn live(&self) -> watch::Receiver<Arc<T::Live>> {
        self.0.live.subscribe()
    }

    /// What this machine alone wants, without what a controller sent. May block on the disk.
    ///
    /// # Errors
    /// When the local configuration is not valid at this moment.
    pub fn local(&self) -> Result<T, ConfigError> {
        Ok(self.0.source.load::<T>(None)?.settings.value)
    }

    /// What became of the latest change.
    pub fn report(&self) -> watch::Receiver<ReloadReport> {
        self.0.report.subscribe()
    }

    /// Runs with what a controller wants, or without (`None`), and keeps that for later starts; where something is wrong
    /// with it, nothing changes.
    ///
    /// # Errors
    /// When it could not be kept.
    pub async fn set_remote(&self, wanted: Option<RemoteConfig>) -> Result<ReloadReport, RemoteError> {
        let mut remote = self.0.remote.lock().await;
        let loaded = self.0.source.load_allowed::<T>(wanted.as_ref());
        if loaded.is_ok() {
            match &wanted {
                Some(wanted) => self.0.file.write(wanted)?,
                None => self.0.file.remove()?,
            }
            *remote = wanted;
        }
        Ok(self.publish(ReloadCause::Controller, loaded, remote.as_ref()))
    }

    /// Loads everything anew.
    pub async fn reload(&self, cause: ReloadCause) -> ReloadReport {
        let remote = self.0.remote.lock().await;
        let loaded = self.0.source.load_allowed::<T>(remote.as_ref());
        self.publish(cause, loaded, remote.as_ref())
    }

    fn publish(
        &self,
        cause: ReloadCause,
        loaded: Result<Loaded<T>, ReloadOutcome>,
        remote: Option<&RemoteConfig>,
    ) -> ReloadReport {
        let inner = &self.0;
        let mut needs_restart = inner.report.borrow().needs_restart.clone();
        let outcome = match loaded {
            Ok(loaded) => {
                set_level(&inner.source, &inner.level, &loaded);
                let (boot, live) = loaded.settings.value.split();
                needs_restart = keys::changed(&keys::flat(&inner.boot), &keys::flat(&boot));
                let changed = keys::changed(&keys::flat(&**inner.live.borrow()), &keys::flat(&live));
                inner.live.send_if_modified(|current| {
                    let is_other = **current != live;
                    if is_other {
                        *current = Arc::new(live);
                    }
                    is_other
                });
                ReloadOutcome::Applied { changed }
            }
            Err(refused) => refused,
        };
        let report = ReloadReport {
            at: Utc::now(),
            cause,
            outcome,
            needs_restart,
            remote: remote.map(|remote| (remote.version, remote.sha256.clone())),
        };
        report.tell();
        inner.report.send_replace(report.clone());
        report
    }

    /// The files that the configuration is read from.
    fn files(&self) -> Vec<PathBuf> {
        let source = &self.0.source;
        let Ok(found) = T::SPEC.finder.find(source.config.as_deref(), &source.around) else {
            return source.config.iter().cloned().collect();
        };
        let config = found.config.map(|file| file.path);
        let env = found.env.map(|env| env.path);
        config.into_iter().chain(env).collect()
    }
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| fs::read(file).ok()).collect()
}

fn set_level<T: Reload>(source: &Source, level: &LevelHandle, loaded: &Loaded<T>) {
    let is_asked_for = loaded.settings.origin("logging.level") != conf::Origin::Default;
    let wanted = match loaded.settings.value.logging() {
        logging if is_asked_for => &logging.level,
        _ => source.default_level,
    };
    if source.is_level_fixed || *wanted == level.get() {
        return;
    }
    // Checked with the rest of the configuration; what is left is a log that has ended.
    if let Err(error) = level.set(wanted) {
        tracing::warn!(%error, "the level of the log could not be changed");
    }
}

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    stream: tokio::signal::unix::Signal,
}

impl Hangup {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            stream: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if self.stream.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
