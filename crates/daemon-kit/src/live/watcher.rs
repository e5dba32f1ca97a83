//! Tells when one of a few files may have changed.
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Notify;

/// Watches the directories of files, because editors and configuration managers put a new file in the place of the old
/// one, and Kubernetes turns a link beside it.
pub(super) struct FileWatcher {
    // Watching ends when it is dropped.
    _watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl FileWatcher {
    /// Watches `files`. What cannot be watched is logged: SIGHUP is still there.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                tell.notify_one();
            }
        });
        let directories = directories(files);
        let watcher = watcher.and_then(|mut watcher| {
            for dir in &directories {
                watcher.watch(dir, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "configuration files cannot be watched: send SIGHUP after a change");
        });
        Self {
            _watcher: watcher.ok(),
            directories,
            changed,
        }
    }

    /// Whether `files` still lie where it watches: a link on the way may have been turned.
    pub(super) fn is_for(&self, files: &[PathBuf]) -> bool {
        self.directories == directories(files)
    }

    /// Tells of a change, for whoever may have missed one.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Waits until something beside one of the files changed. Cancelling it loses nothing.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The directories that the files lie in, and those that they really lie in where links lead elsewhere.
fn directories(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let above = |path: &Path| {
        let dir = path.parent()?;
        Some(if dir.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            dir.to_owned()
        })
    };
    let own = files.iter().filter_map(|file| above(file));
    let real = files
        .iter()
        .filter_map(|file| file.canonicalize().ok())
        .filter_map(|file| above(&file));
    own.chain(real).collect()
}
