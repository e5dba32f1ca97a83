//! What a scan has decided and not yet stored: changes of the tree, and the records of them, committed together.
use crate::{Changed, context::Facts, record::Recorder, record::Tell, undecided};
use chrono::{DateTime, Utc};
use core_model::{Batch, DirId, DirUpdate, KnownTree, RootId, RootUpdate, Side, Undecided, UndecidedUpdate};
use std::{collections::BTreeMap, mem};

pub(crate) struct Out<'a, T: KnownTree> {
    pub(crate) tree: &'a mut T,
    pub(crate) recorder: Recorder<'a>,
    now: DateTime<Utc>,
    began: std::time::Instant,
    batch: Batch,
    weight: usize,
    /// Files known in each root, and whether that is yet to be stored.
    files: BTreeMap<RootId, (u64, bool)>,
}

impl<'a, T: KnownTree> Out<'a, T> {
    pub(crate) fn new(tree: &'a mut T, recorder: Recorder<'a>, now: DateTime<Utc>) -> Result<Self, T::Error> {
        let roots = tree.roots()?;
        Ok(Self {
            tree,
            recorder,
            now,
            began: std::time::Instant::now(),
            batch: Batch::default(),
            weight: 0,
            files: roots.into_iter().map(|root| (root.id, (root.files, false))).collect(),
        })
    }

    /// How long ago the scan began.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Files known in a root.
    pub(crate) fn files(&self, root: RootId) -> u64 {
        self.files.get(&root).map_or(0, |(files, _)| *files)
    }

    pub(crate) fn add_files(&mut self, root: RootId, more: u64, fewer: u64) {
        if more != fewer {
            let (files, is_due) = self.files.entry(root).or_default();
            *files = files.saturating_add(more).saturating_sub(fewer);
            *is_due = true;
        }
    }

    pub(crate) fn root(&mut self, update: RootUpdate) {
        self.weight += 128;
        self.batch.roots.push(update);
    }

    pub(crate) fn dir(&mut self, update: DirUpdate) {
        self.weight += 128 + update.stored.entries.len() + update.stored.hashes.len();
        self.batch.dirs.push(update);
    }

    pub(crate) fn remove_dir(&mut self, id: DirId) {
        self.weight += 16;
        self.batch.removed_dirs.push(id);
    }

    pub(crate) fn remove_root(&mut self, id: RootId) {
        self.files.remove(&id);
        self.batch.removed_roots.push(id);
    }

    /// Lets a file, whose volume is absolute, wait for its counterpart.
    pub(crate) fn put(&mut self, path: Vec<u8>, root: RootId, side: Side, facts: &Facts) {
        self.weight += 256 + path.len();
        let row = undecided::pack(path, root, side, facts);
        self.batch.undecided.push(UndecidedUpdate::Put(row));
    }

    /// A file waits no more.
    pub(crate) fn settle(&mut self, path: Vec<u8>) {
        self.weight += 64 + path.len();
        self.batch.undecided.push(UndecidedUpdate::Remove(path));
    }

    pub(crate) fn present(&mut self, path: &[u8], facts: &Facts) {
        self.recorder.tell(Tell::Present, path, facts, facts.mime);
    }

    pub(crate) fn created(&mut self, path: &[u8], facts: &Facts) {
        self.recorder.tell(Tell::Created, path, facts, facts.mime);
    }

    pub(crate) fn updated(&mut self, path: &[u8], facts: &Facts, changed: Changed) {
        self.recorder.tell(Tell::Updated(changed), path, facts, facts.mime);
    }

    /// Names the files that wait as gone: the server still holds them.
    pub(crate) fn name_waiting(&mut self) -> Result<(), T::Error> {
        let mut after: Option<Undecided> = None;
        loop {
            let page = self.tree.undecided_after(after.as_ref(), 1024)?;
            for row in page.iter().filter(|row| row.side == Side::Gone) {
                if let Some((facts, mime)) = undecided::unpack(row) {
                    self.recorder.tell(Tell::Present, &row.path, &facts, mime);
                }
            }
            match page.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
            self.commit_if_heavy()?;
        }
    }

    /// Tells that a file has another path, and lets both names wait no more.
    pub(crate) fn moved(&mut self, from: Undecided, to: Undecided) {
        if let Some((facts, mime)) = undecided::unpack(&to) {
            self.recorder.tell(Tell::MovedFrom(&from.path), &to.path, &facts, mime);
            self.settle(from.path);
            self.settle(to.path);
        }
    }

    /// Tells that a file is new after all. One whose row is damaged is left: there is nothing to tell of it.
    pub(crate) fn appeared(&mut self, new: Undecided) {
        if let Some((facts, mime)) = undecided::unpack(&new) {
            self.recorder.tell(Tell::Created, &new.path, &facts, mime);
            self.settle(new.path);
        }
    }

    /// Tells that a file is gone after all.
    pub(crate) fn vanished(&mut self, gone: Undecided) {
        self.recorder.deleted(&gone.path);
        self.settle(gone.path);
    }

    /// Stores what waits if that is much.
    pub(crate) fn commit_if_heavy(&mut self) -> Result<(), T::Error> {
        if self.weight + self.recorder.sink.bytes() >= self.recorder.request.commit_bytes {
            self.commit()?;
        }
        Ok(())
    }

    /// Stores all that waits, in one step.
    pub(crate) fn commit(&mut self) -> Result<(), T::Error> {
        for (id, (files, is_due)) in &mut self.files {
            if mem::take(is_due) {
                let mut update = RootUpdate::new(*id);
                update.files = Some(*files);
                self.batch.roots.push(update);
            }
        }
        self.weight = 0;
        let batch = mem::take(&mut self.batch);
        let runs = self.recorder.sink.take();
        if batch.is_empty() && runs.is_empty() {
            return Ok(());
        }
        self.tree.commit(batch, runs, self.now)
    }
}
