//! What all threads of one walk share, and those of one scan.
use crate::{
    entry::{Entry, FileKind},
    hashes::ContentHash,
    links::Links,
    queue::Queue,
    request::{RootRequest, ScanRequest},
    roots,
    rules::Rules,
    summary::PathError,
    sys::{self, Look, OpenRoot},
    table::{Place, Table},
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

/// What all threads of one walk share, whatever it is for.
pub(crate) struct Ground<'a, N> {
    pub(crate) roots: Vec<Root<'a>>,
    pub(crate) ignore_files: &'a [String],
    pub(crate) queue: Queue<N>,
    pub(crate) volumes: &'a Volumes,
    /// Directory descriptors held for children that wait.
    pub(crate) held: Arc<AtomicUsize>,
    pub(crate) stop: &'a AtomicBool,
}

impl<'a, N> Ground<'a, N> {
    /// A walk of `roots` in their order, which has not begun.
    pub(crate) fn new(
        roots: Vec<Root<'a>>,
        ignore_files: &'a [String],
        volumes: &'a Volumes,
        stop: &'a AtomicBool,
    ) -> Self {
        let queue = Queue::default();
        // The last pushed is the first walked.
        for root in (0..roots.len()).rev() {
            queue.push_root(root);
        }
        Self {
            roots,
            ignore_files,
            queue,
            volumes,
            held: Arc::default(),
            stop,
        }
    }
}

/// What a scan keeps of a directory for the sake of those below.
#[derive(Clone, Copy)]
pub(crate) struct Note {
    pub(crate) id: DirId,
    pub(crate) known: Option<Place>,
}

/// What all threads of one scan share.
pub(crate) struct Context<'a> {
    pub(crate) request: &'a ScanRequest,
    pub(crate) ground: Ground<'a, Note>,
    pub(crate) table: Table,
    pub(crate) key: [u8; 32],
    pub(crate) next_dir: AtomicU64,
    pub(crate) links: Links,
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

impl<'a> Root<'a> {
    /// A root whose path in its shortest form is `path`, and which is `open`.
    pub(crate) fn new(request: &'a RootRequest, rules: Rules, id: RootId, path: &[u8], open: OpenRoot) -> Self {
        let OpenRoot { handle, identity } = open;
        // Where the path cannot be had, no link is followed: none can be shown to stay inside.
        let canonical = request.follow_symlinks.then(|| sys::canonical(&handle).ok()).flatten();
        Self {
            request,
            rules,
            id,
            prefix: roots::prefix(path).to_vec(),
            handle,
            canonical,
            device: identity.device,
            inode: identity.inode,
            volume: roots::volume_of(&identity),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: Mutex::default(),
        }
    }

    /// The path of what lies at `relative`.
    pub(crate) fn path(&self, relative: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.prefix.len() + 1 + relative.len());
        self.write_path(relative, &mut path);
        path
    }

    /// Makes `path` the path of what lies at `relative`.
    pub(crate) fn write_path(&self, relative: &[u8], path: &mut Vec<u8>) {
        path.clear();
        path.extend_from_slice(&self.prefix);
        if !relative.is_empty() || path.is_empty() {
            path.push(b'/');
            path.extend_from_slice(relative);
        }
    }

    /// Whether something is a regular file of more bytes than are wanted.
    pub(crate) fn is_too_large(&self, look: &Look) -> bool {
        let most = self.request.max_file_size.unwrap_or(u64::MAX);
        look.entry.size > most && look.entry.kind() == FileKind::File
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
