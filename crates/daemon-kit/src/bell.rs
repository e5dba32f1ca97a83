//! A file by which one process tells another that something was left for it, at no cost while nothing is.
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{fs::OpenOptions, io, path::Path, sync::Arc};
use tokio::sync::Notify;

/// Hears of each [`ring`] of a file. What there is to do stands elsewhere, as in a database: a ring that is lost (another
/// file was put in its place, the system cannot watch) must cost no more than time, so whoever waits for one looks now
/// and then without it.
///
/// ```
/// use daemon_kit::bell::{Bell, ring};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let file = dir.path().join("state.db.bell");
/// let bell = Bell::hang(&file);
/// ring(&file).unwrap();
/// bell.rung().await;
/// # });
/// ```
pub struct Bell {
    // Watching ends when it is dropped.
    _watcher: Option<RecommendedWatcher>,
    rung: Arc<Notify>,
}

impl Bell {
    /// Makes the file (0600) if it is missing, and watches it. What cannot be is logged.
    pub fn hang(file: &Path) -> Self {
        let rung = Arc::new(Notify::new());
        let tell = Arc::clone(&rung);
        let watcher = ring(file).map_err(notify::Error::io).and_then(|()| {
            let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| event.kind.is_modify()) {
                    tell.notify_one();
                }
            })?;
            watcher.watch(file, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::debug!(%error, file = %file.display(), "cannot be watched: what is asked for here is seen later");
        });
        Self {
            _watcher: watcher.ok(),
            rung,
        }
    }

    /// Waits for a ring. One that came while nobody waited counts. Cancelling it loses nothing.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }
}

/// Rings the bell at `file`, whether or not anybody hears it.
///
/// # Errors
/// When the file cannot be written.
pub fn ring(file: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // In place: another file would not be the one that is watched.
    io::Write::write_all(&mut options.open(file)?, b"!")
}
