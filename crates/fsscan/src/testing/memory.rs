//! A known tree in memory that refuses what a stored one could not hold, and can crash on demand.
use chrono::{DateTime, Utc};
use core_model::{
    Batch, Digest, DirId, Identity, KnownDir, KnownRoot, KnownTree, RootId, RootUpdate, Run, Side, StoredDir,
    TreeReader, Undecided, UndecidedUpdate,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Why a tree in memory refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryTreeError {
    /// The crash that was asked for.
    #[error("crashed before a commit, as asked for")]
    Crash,
    /// A commit that breaks the contract.
    #[error("a commit breaks the contract: {0}")]
    Broken(String),
}

struct Dir {
    root: RootId,
    parent: Option<DirId>,
    name: Vec<u8>,
    digest: Digest,
    stored: StoredDir,
}

/// Where a directory lies: root, parent (`None`: it is the root's own) and name.
type Place = (RootId, Option<DirId>, Vec<u8>);
type Order = (Identity, Side, Vec<u8>);

#[derive(Default)]
struct State {
    roots: BTreeMap<RootId, KnownRoot>,
    dirs: BTreeMap<DirId, Dir>,
    names: BTreeMap<Place, DirId>,
    undecided: BTreeMap<Vec<u8>, Undecided>,
    order: BTreeSet<Order>,
    runs: Vec<Run>,
    commits: u64,
    /// Directories read by their blobs.
    reads: u64,
    crash_at: Option<u64>,
    stop_at: Option<(u64, Arc<AtomicBool>)>,
}

/// A tree in memory. Clones are the same tree.
#[derive(Clone, Default)]
pub struct MemoryTree(Arc<Mutex<State>>);

impl MemoryTree {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the runs committed so far.
    pub fn take_runs(&self) -> Vec<Run> {
        std::mem::take(&mut self.lock().runs)
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// How many directories were read whole.
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// Refuses every commit but the next `commits`, as a process does that dies; `None` takes all again.
    pub fn crash_after(&self, commits: Option<u64>) {
        let mut state = self.lock();
        state.crash_at = commits.map(|more| state.commits + more);
    }

    /// Raises `stop` after the next `commits` commits.
    pub fn stop_after(&self, commits: u64, stop: Arc<AtomicBool>) {
        let mut state = self.lock();
        state.stop_at = Some((state.commits + commits, stop));
    }

    /// How many content hashes are stored.
    pub fn hashes(&self) -> usize {
        let state = self.lock();
        state
            .dirs
            .values()
            .map(|dir| crate::decode_hashes(&dir.stored.hashes).count())
            .sum()
    }

    /// Every undecided entry, by path.
    pub fn undecided(&self) -> Vec<Undecided> {
        self.lock().undecided.values().cloned().collect()
    }

    /// Changes the stored entries of every directory, as a bad disk does.
    pub fn damage(&self, change: impl Fn(&mut StoredDir)) {
        for dir in self.lock().dirs.values_mut() {
            change(&mut dir.stored);
            dir.digest = Digest([1; 16]);
        }
    }

    /// Changes a root, as another machine's mount does.
    pub fn change_root(&self, path: &[u8], change: impl FnOnce(&mut KnownRoot)) {
        if let Some(root) = self.lock().roots.values_mut().find(|root| root.path == path) {
            change(root);
        }
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), MemoryTreeError> {
    if holds {
        Ok(())
    } else {
        Err(MemoryTreeError::Broken(what()))
    }
}

impl State {
    fn update_root(&mut self, update: RootUpdate) -> Result<(), MemoryTreeError> {
        ensure(self.roots.contains_key(&update.id) || update.path.is_some(), || {
            format!("root {:?} has no path", update.id)
        })?;
        let taken = |root: &KnownRoot| root.id != update.id && Some(&root.path) == update.path.as_ref();
        ensure(!self.roots.values().any(taken), || {
            format!("two roots of {:?}", update.path)
        })?;
        let root = self.roots.entry(update.id).or_insert(KnownRoot {
            id: update.id,
            path: Vec::new(),
            identity: None,
            files: 0,
            accepted: false,
            held: 0,
            completed_at: None,
        });
        root.path = update.path.unwrap_or_else(|| root.path.clone());
        root.identity = update.identity.unwrap_or(root.identity);
        root.files = update.files.unwrap_or(root.files);
        root.accepted = update.accepted.unwrap_or(root.accepted);
        root.held = update.held.unwrap_or(root.held);
        root.completed_at = update.completed_at.or(root.completed_at);
        Ok(())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), MemoryTreeError> {
        for update in batch.roots {
            self.update_root(update)?;
        }
        for dir in batch.dirs {
            ensure(self.roots.contains_key(&dir.root), || {
                format!("{:?} has no root", dir.id)
            })?;
            let has_parent = dir
                .parent
                .is_none_or(|parent| parent < dir.id && self.dirs.contains_key(&parent));
            ensure(has_parent, || format!("{:?} comes before its parent", dir.id))?;
            let (root, parent, name) = (dir.root, dir.parent, dir.name);
            let twin = self.names.insert((root, parent, name.clone()), dir.id);
            ensure(twin.is_none_or(|twin| twin == dir.id), || {
                format!("{:?} is there twice", dir.id)
            })?;
            let (digest, stored) = (dir.digest, dir.stored);
            self.dirs.insert(
                dir.id,
                Dir {
                    root,
                    parent,
                    name,
                    digest,
                    stored,
                },
            );
        }
        for id in batch.removed_dirs {
            let Some(dir) = self.dirs.remove(&id) else {
                return Err(MemoryTreeError::Broken(format!("{id:?} is removed twice")));
            };
            let below = (dir.root, Some(id), Vec::new())..(dir.root, Some(DirId(id.0 + 1)), Vec::new());
            ensure(self.names.range(below).next().is_none(), || {
                format!("{id:?} leaves orphans")
            })?;
            self.names.remove(&(dir.root, dir.parent, dir.name));
        }
        for update in batch.undecided {
            let path = match &update {
                UndecidedUpdate::Put(row) => &row.path,
                UndecidedUpdate::Remove(path) => path,
            };
            if let Some(old) = self.undecided.remove(path) {
                self.order.remove(&(old.identity, old.side, old.path));
            }
            if let UndecidedUpdate::Put(row) = update {
                ensure(self.roots.contains_key(&row.root), || {
                    format!("{:?} has no root", row.path)
                })?;
                self.order.insert((row.identity, row.side, row.path.clone()));
                self.undecided.insert(row.path.clone(), row);
            }
        }
        for id in batch.removed_roots {
            ensure(self.roots.remove(&id).is_some(), || format!("{id:?} is removed twice"))?;
            self.dirs.retain(|_, dir| dir.root != id);
            self.names.retain(|(root, ..), _| *root != id);
            let left = self.undecided.values().any(|row| row.root == id);
            ensure(!left, || format!("{id:?} leaves files undecided"))?;
        }
        Ok(())
    }
}

impl KnownTree for MemoryTree {
    type Error = MemoryTreeError;
    type Reader = Self;

    fn key(&self) -> [u8; 32] {
        [7; 32]
    }

    fn reader(&self) -> Result<Self, MemoryTreeError> {
        Ok(self.clone())
    }

    fn roots(&self) -> Result<Vec<KnownRoot>, MemoryTreeError> {
        Ok(self.lock().roots.values().cloned().collect())
    }

    fn directories(&self, each: &mut dyn FnMut(KnownDir<'_>)) -> Result<(), MemoryTreeError> {
        for (id, dir) in &self.lock().dirs {
            each(KnownDir {
                id: *id,
                root: dir.root,
                parent: dir.parent,
                name: &dir.name,
                digest: dir.digest,
            });
        }
        Ok(())
    }

    fn undecided_at(&self, path: &[u8]) -> Result<Option<Undecided>, MemoryTreeError> {
        Ok(self.lock().undecided.get(path).cloned())
    }

    fn undecided_after(&self, after: Option<&Undecided>, limit: usize) -> Result<Vec<Undecided>, MemoryTreeError> {
        let state = self.lock();
        let after = after.map(|row| (row.identity, row.side, row.path.clone()));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = state.order.range((from, Bound::Unbounded));
        let rows = rows.filter_map(|(_, _, path)| state.undecided.get(path));
        Ok(rows.take(limit).cloned().collect())
    }

    fn commit(&mut self, batch: Batch, bodies: Vec<Run>, _now: DateTime<Utc>) -> Result<(), MemoryTreeError> {
        let mut state = self.lock();
        if state.crash_at.is_some_and(|at| state.commits >= at) {
            return Err(MemoryTreeError::Crash);
        }
        ensure(!batch.is_empty() || !bodies.is_empty(), || {
            "it holds nothing".to_owned()
        })?;
        ensure(bodies.iter().all(|run| run.records > 0), || "a run is empty".to_owned())?;
        state.apply(batch)?;
        state.runs.extend(bodies);
        state.commits += 1;
        let commits = state.commits;
        if let Some((_, stop)) = state.stop_at.take_if(|(at, _)| commits >= *at) {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl TreeReader for MemoryTree {
    type Error = MemoryTreeError;

    fn directory(&mut self, id: DirId) -> Result<Option<StoredDir>, MemoryTreeError> {
        let mut state = self.lock();
        state.reads += 1;
        Ok(state.dirs.get(&id).map(|dir| dir.stored.clone()))
    }
}
