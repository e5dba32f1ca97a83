//! Files are scanned as soon as they are written, in the directories that are watched.
use crate::{
    keeper::{Busy, KeeperHandle},
    parts::Parts,
    scan::{End, Progress, Wanted, WatchQueue, Watched as File, WatchedFiles, watch_queue},
    settings::{Live, WatchMethod, WatchSettings},
};
use daemon_kit::blocking;
use fleet_wire::{MalwareRecord, ScanCause};
use fsscan::{
    RootRequest,
    watch::{Method, Watch, WatchRequest, Watched},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// So many files wait to be judged.
const QUEUE: usize = 16_384;

/// How often it is looked whether files found no room in the queue.
const LOOK: Duration = Duration::from_secs(1);

/// What is watched, and under which rule each directory falls.
#[derive(Clone, PartialEq)]
struct Wish {
    settings: WatchSettings,
    roots: Vec<Root>,
}

#[derive(Clone, PartialEq)]
struct Root {
    path: PathBuf,
    rule: Arc<Wanted>,
}

impl Wish {
    fn of(live: &Live) -> Self {
        let roots = live.watch.paths.iter().filter_map(|path| {
            // The innermost rule is the one that knows most of it.
            let fits = |rule: &&crate::settings::RuleSettings| rule.paths.iter().any(|root| path.starts_with(root));
            let depth = |rule: &&crate::settings::RuleSettings| {
                let roots = rule.paths.iter().filter(|root| path.starts_with(root));
                roots.map(|root| root.components().count()).max()
            };
            let rule = live.rules.iter().filter(fits).max_by_key(depth)?;
            Some(Root {
                path: path.clone(),
                rule: Arc::new(Wanted::of(rule).only(vec![path.clone()])),
            })
        });
        Self {
            settings: live.watch.clone(),
            roots: roots.collect(),
        }
    }

    fn request(&self) -> WatchRequest {
        let roots = self.roots.iter().map(|root| RootRequest {
            ignore: root.rule.exclude.clone(),
            one_file_system: root.rule.one_file_system,
            ..RootRequest::new(&root.path)
        });
        WatchRequest {
            debounce: self.settings.debounce.get(),
            method: match self.settings.method {
                WatchMethod::Auto => Method::Auto,
                WatchMethod::Fanotify => Method::Fanotify,
                WatchMethod::Inotify => Method::Inotify,
            },
            ..WatchRequest::new(roots.collect())
        }
    }
}

/// When each file that waits to be judged was noticed.
struct Noticed {
    keeper: KeeperHandle,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    files: HashMap<PathBuf, (Instant, Arc<Wanted>)>,
    /// While any file waits, clamd is looked at more often.
    busy: Option<Busy>,
}

impl Noticed {
    fn new(keeper: KeeperHandle) -> Self {
        Self {
            keeper,
            waiting: Mutex::default(),
        }
    }

    fn put(&self, path: &Path, at: Instant, rule: &Arc<Wanted>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.busy.get_or_insert_with(|| self.keeper.busy());
        let files = &mut waiting.files;
        files.entry(path.to_owned()).or_insert_with(|| (at, Arc::clone(rule)));
    }

    fn take(&self, path: &Path) -> Option<(Instant, Arc<Wanted>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.files.remove(path);
        if waiting.files.is_empty() {
            waiting.busy = None;
        }
        taken
    }
}

/// Watches what is configured until `stop`.
pub(crate) async fn run(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let mut live = parts.context.changes();
    let (queue, mut files) = watch_queue(QUEUE);
    while !stop.is_cancelled() {
        let wish = Wish::of(&live.borrow_and_update());
        let until = stop.child_token();
        let change = async {
            let other = live.wait_for(|live| Wish::of(live) != wish).await.is_ok();
            if other {
                tracing::info!("what is watched has changed: watching begins anew");
                until.cancel();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            watched = watch(&parts, &wish, &queue, &mut files, until.clone()) => watched?,
            () = change => {}
        }
    }
    Ok(())
}

async fn watch(
    parts: &Parts,
    wish: &Wish,
    queue: &WatchQueue,
    files: &mut WatchedFiles,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if wish.roots.is_empty() {
        parts.health.watches_nothing();
        stop.cancelled().await;
        return Ok(());
    }
    let request = wish.request();
    let watch = blocking(move || Ok(Watch::begin(&request)?)).await?;
    parts.health.watches(watch.counters(), queue);
    let Some(_at_work) = parts.reporter.hold() else {
        stop.cancelled().await;
        return Ok(());
    };
    let noticed = Noticed::new(parts.keeper.clone());
    let found =
        |found: &crate::scan::Detection| parts.reporter.report(found.time, MalwareRecord::Detected(found.into()));
    let ended = |path: &Path, end: End| {
        if let Some((at, rule)) = noticed.take(path) {
            parts.health.watched_file_ended(&rule.rule, end, at.elapsed());
        }
    };
    let progress = Arc::<Progress>::default();
    let judging = parts.engine.judge(files, progress, found, ended, stop.clone());
    tokio::select! {
        told = tell(parts, wish, queue, watch, &noticed) => told,
        judged = judging => Ok(judged?),
    }
}

/// Passes on what is told until the watch breaks down.
async fn tell(
    parts: &Parts,
    wish: &Wish,
    queue: &WatchQueue,
    mut watch: Watch,
    noticed: &Noticed,
) -> anyhow::Result<()> {
    let mut is_full = false;
    let mut sight = parts.engine.sight();
    let mut regained = sight.borrow_and_update().regained;
    loop {
        let watched = tokio::select! {
            watched = watch.next() => watched,
            Ok(()) = sight.changed() => {
                let now = sight.borrow_and_update().regained;
                if std::mem::replace(&mut regained, now) != now {
                    tracing::info!("clamd detects again: what is watched is scanned, for what was written meanwhile");
                    let roots = wish.roots.iter().enumerate();
                    roots.for_each(|(n, root)| scan(parts, wish, n, root.path.clone()));
                }
                continue;
            }
            () = time::sleep(LOOK), if is_full => {
                is_full = false;
                scan_overflow(parts, wish, queue);
                continue;
            }
        };
        let Some(watched) = watched else {
            anyhow::bail!("the watch broke down; it begins anew, and what it missed is scanned");
        };
        match watched {
            Watched::Written(written) => {
                let Some(root) = wish.roots.get(written.root) else {
                    continue;
                };
                noticed.put(&written.path, written.noticed, &root.rule);
                let file = File {
                    path: written.path,
                    rule: Arc::clone(&root.rule),
                };
                is_full |= !queue.offer(file);
            }
            // What was written before is in nobody's queue.
            Watched::Watching { root, path } => {
                tracing::info!(path = %path.display(), "watched from now on; what was there before is scanned once");
                scan(parts, wish, root, path);
            }
            Watched::Lost(lost) => {
                tracing::warn!(
                    below = %lost.below.display(),
                    why = lost.why.name(),
                    is_blind = lost.why.is_blind(),
                    "what was written there is not known: it is scanned"
                );
                if let Some(root) = wish.roots.get(lost.root) {
                    parts.health.lost_sight(&root.rule.rule);
                }
                scan(parts, wish, lost.root, lost.below);
            }
            Watched::Gone { path, why, .. } => {
                tracing::warn!(path = %path.display(), ?why, "a watched directory is not there: it is watched when it is");
            }
        }
    }
}

fn scan(parts: &Parts, wish: &Wish, root: usize, path: PathBuf) {
    if let Some(root) = wish.roots.get(root) {
        parts.orders.want(root.rule.only(vec![path]), ScanCause::Watch);
    }
}

/// Has scanned what found no room in the queue.
fn scan_overflow(parts: &Parts, wish: &Wish, queue: &WatchQueue) {
    let overflow = queue.take_overflow();
    if overflow.files == 0 {
        return;
    }
    tracing::warn!(
        files = overflow.files,
        "more was written than can be judged at once: the directories are scanned"
    );
    for root in &wish.roots {
        let directories = overflow.directories.iter();
        let mut paths: Vec<PathBuf> = directories
            .filter(|(rule, path)| *rule == root.rule.rule && path.starts_with(&root.path))
            .map(|(_, path)| path.clone())
            .collect();
        if overflow.rules.contains(&root.rule.rule) {
            paths = vec![root.path.clone()];
        }
        if !paths.is_empty() {
            parts.orders.want(root.rule.only(paths), ScanCause::Watch);
        }
    }
}
