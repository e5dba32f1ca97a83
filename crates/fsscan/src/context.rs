//! What all threads of one scan share.
use crate::{
    entry::Entry,
    hashes::ContentHash,
    links::Links,
    queue::Queue,
    request::{RootRequest, ScanRequest},
    rules::Rules,
    summary::PathError,
    sys,
    table::Table,
};
use core_model::{Digest, DirId, RootId, StoredDir};
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
};

/// A root that is being walked.
pub(crate) struct Root<'a> {
    pub(crate) request: &'a RootRequest,
    pub(crate) rules: Rules,
    pub(crate) id: RootId,
    /// Its path as it was asked for, without a slash at the end: that of `/` is empty.
    pub(crate) prefix: Vec<u8>,
    pub(crate) handle: sys::Handle,
    /// Its path with every link resolved, needed where links are followed.
    pub(crate) canonical: Option<PathBuf>,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) volume: u64,
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Why the root itself could not be listed, if so.
    pub(crate) failed: Mutex<Option<String>>,
}

pub(crate) struct Context<'a> {
    pub(crate) request: &'a ScanRequest,
    pub(crate) roots: Vec<Root<'a>>,
    pub(crate) table: Table,
    pub(crate) key: [u8; 32],
    pub(crate) queue: Queue,
    pub(crate) next_dir: AtomicU64,
    pub(crate) links: Links,
    pub(crate) volumes: &'a Volumes,
    /// Directory descriptors held for children that wait.
    pub(crate) held: Arc<AtomicUsize>,
    pub(crate) stop: &'a AtomicBool,
}

/// The device behind each volume number met by this scan.
#[derive(Default)]
pub(crate) struct Volumes(Mutex<Vec<(u64, u64)>>);

impl Volumes {
    /// The number of the volume of `device`, asking with `ask` at the first meeting only.
    pub(crate) fn of_device(&self, device: u64, ask: impl FnOnce() -> u64) -> u64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, volume)) = known.iter().find(|(known, _)| *known == device) {
            return *volume;
        }
        let volume = ask();
        known.push((device, volume));
        volume
    }

    pub(crate) fn device_of(&self, volume: u64) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .find(|(_, known)| *known == volume)
            .map(|(device, _)| *device)
    }
}

impl Root<'_> {
    /// The path of what lies at `relative`.
    pub(crate) fn path(&self, relative: &[u8]) -> Vec<u8> {
        if relative.is_empty() && !self.prefix.is_empty() {
            self.prefix.clone()
        } else {
            [&self.prefix, b"/".as_slice(), relative].concat()
        }
    }
}

/// What a worker found about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Appeared,
    /// As it was, and named because all are.
    Present,
    Updated(crate::Changed),
    Vanished,
}

/// A file that changed. For a vanished one, everything is as it was last known.
pub(crate) struct Item {
    pub(crate) what: What,
    pub(crate) name: Range<usize>,
    pub(crate) facts: Facts,
}

/// All that a record of a file needs beside its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its volume counts from the root in a directory's item, and is absolute where the file is undecided.
    pub(crate) entry: Entry,
    pub(crate) links: u32,
    pub(crate) allocated: u64,
    pub(crate) hash: Option<ContentHash>,
    /// By content.
    pub(crate) mime: Option<&'static str>,
}

/// A directory that differs from what is known of it.
pub(crate) struct Found {
    pub(crate) root: usize,
    pub(crate) id: DirId,
    pub(crate) parent: Option<DirId>,
    pub(crate) name: Box<[u8]>,
    /// Its absolute path, with a slash at the end.
    pub(crate) path: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) stored: StoredDir,
    pub(crate) items: Vec<Item>,
    /// The names of `items`.
    pub(crate) names: Vec<u8>,
    /// Whether there is something to store, not only files to name.
    pub(crate) is_changed: bool,
}

/// What workers send to the writer.
pub(crate) enum Message<E> {
    Found(Box<Found>),
    Error(PathError),
    /// The state could not be read: the scan ends.
    Failed(E),
}
