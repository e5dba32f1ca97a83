//! Makes records of changes and groups them into runs.
use crate::{
    Change, Changed, Encoder, FileMeta, Observer,
    context::{Facts, Volumes},
    entry::FileKind,
    names::{self, Owners},
    request::ScanRequest,
};
use core_model::Run;
use std::{mem, sync::atomic::Ordering};

/// How many changes were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) moved: u64,
    pub(crate) deleted: u64,
}

/// What to tell of a file that is there.
#[derive(Clone, Copy)]
pub(crate) enum Tell<'a> {
    Present,
    Created,
    Updated(Changed),
    MovedFrom(&'a [u8]),
}

/// What records are made with.
pub(crate) struct Recorder<'a> {
    pub(crate) request: &'a ScanRequest,
    pub(crate) encoder: &'a mut dyn Encoder,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) volumes: &'a Volumes,
    pub(crate) owners: Owners,
    pub(crate) counts: Counts,
    pub(crate) sink: Sink,
}

/// The runs made so far, and the one that is still open.
#[derive(Default)]
pub(crate) struct Sink {
    runs: Vec<Run>,
    records: u32,
    body: Vec<u8>,
    bytes: usize,
}

impl Recorder<'_> {
    /// Tells of a file, whose volume is absolute. `mime` is its type by content.
    pub(crate) fn tell(&mut self, tell: Tell<'_>, path: &[u8], facts: &Facts, mime: Option<&str>) {
        match tell {
            Tell::Present if self.encoder.is_silent() => return,
            Tell::Present => {}
            Tell::Created => self.counts.created += 1,
            Tell::Updated(_) => self.counts.updated += 1,
            Tell::MovedFrom(_) => self.counts.moved += 1,
        }
        if self.is_silent() {
            self.request.progress.changes.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let entry = &facts.entry;
        let kind = entry.kind();
        let (owner, group) = self.owners.names(entry.uid, entry.gid);
        let file = FileMeta {
            path,
            kind,
            size: entry.size,
            allocated: facts.allocated,
            mtime_ns: entry.mtime_ns,
            ctime_ns: entry.ctime_ns,
            btime_ns: Some(entry.btime_ns).filter(|birth| *birth != 0),
            mode: entry.permissions(),
            uid: entry.uid,
            gid: entry.gid,
            owner,
            group,
            inode: entry.inode,
            device: self.volumes.device_of(entry.volume),
            links: facts.links,
            mime: match kind {
                FileKind::File => mime.or_else(|| names::mime(&self.request.mime, path)),
                _ => None,
            },
            hash: facts.hash,
        };
        let change = match tell {
            Tell::Present => Change::Present { file },
            Tell::Created => Change::Created { file },
            Tell::Updated(changed) => Change::Updated { file, changed },
            Tell::MovedFrom(from) => Change::Moved { from, file },
        };
        self.sink.record(self.request, self.encoder, self.observer, &change);
    }

    pub(crate) fn deleted(&mut self, path: &[u8]) {
        self.counts.deleted += 1;
        let change = Change::Deleted { path };
        self.sink.record(self.request, self.encoder, self.observer, &change);
    }

    fn is_silent(&self) -> bool {
        self.encoder.is_silent() && !self.observer.wants_changes()
    }
}

impl Sink {
    fn record(
        &mut self,
        request: &ScanRequest,
        encoder: &mut dyn Encoder,
        observer: &dyn Observer,
        change: &Change<'_>,
    ) {
        if !matches!(change, Change::Present { .. }) {
            request.progress.changes.fetch_add(1, Ordering::Relaxed);
            observer.change(change);
        }
        if encoder.is_silent() {
            return;
        }
        encoder.encode(change, &mut self.body);
        self.records += 1;
        if self.records >= request.run_records.max(1) || self.body.len() >= ScanRequest::RUN_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.records > 0 {
            let room = self.body.len();
            let body = mem::replace(&mut self.body, Vec::with_capacity(room));
            self.bytes += body.len();
            self.runs.push(Run {
                records: mem::take(&mut self.records),
                body,
            });
        }
    }

    /// Bytes that wait to be stored.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.body.len()
    }

    /// All runs made, the open one included.
    pub(crate) fn take(&mut self) -> Vec<Run> {
        self.close();
        self.bytes = 0;
        mem::take(&mut self.runs)
    }
}
