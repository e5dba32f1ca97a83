//! A walking thread: takes a directory, lists it, and tells the writer if it differs from what is known.
use crate::{
    codec::{Packer, decode_entries},
    compare::{Compared, compare, is_turn},
    content::ContentReader,
    context::{Context, Found, Message, Root},
    entry::FileKind,
    listing::{Here, Listing},
    queue::{Dir, Held, Job, Names},
    request::Mode,
    summary::{ErrorKind, PathError},
    sys,
    table::Place,
};
use core_model::{Digest, DirId, StoredDir, TreeReader};
use crossbeam_channel::Sender;
use std::{
    io, mem,
    sync::{Arc, PoisonError, atomic::Ordering},
};

const DEEPEST: u32 = 4096;
const LONGEST: usize = 32 * 1024;

/// The scan was stopped or the writer is gone: there is nobody left to work for.
struct Over;

pub(crate) struct Worker<'c, 'a, R: TreeReader> {
    context: &'c Context<'a>,
    reader: R,
    sender: Sender<Message<R::Error>>,
    buffer: sys::Buffer,
    listing: Listing,
    content: ContentReader,
    packed: Vec<u8>,
    relative: Vec<u8>,
}

impl<'c, 'a, R: TreeReader> Worker<'c, 'a, R> {
    pub(crate) fn new(context: &'c Context<'a>, reader: R, sender: Sender<Message<R::Error>>) -> Self {
        Self {
            context,
            reader,
            sender,
            buffer: sys::Buffer::default(),
            listing: Listing::default(),
            content: ContentReader::default(),
            packed: Vec::new(),
            relative: Vec::new(),
        }
    }

    /// Walks until nothing is left, the scan is stopped, or the writer is gone.
    pub(crate) fn run(mut self) {
        let queue = &self.context.queue;
        while let Some(job) = queue.pop() {
            let _at_work = queue.at_work();
            if self.context.stop.load(Ordering::Relaxed) || self.walk(job).is_err() {
                queue.close();
            }
        }
    }

    fn walk(&mut self, job: Job) -> Result<(), Over> {
        self.relative.clear();
        match job {
            Job::Root(root) => {
                let root_here = &self.context.roots[root];
                let known = self.context.table.root(root_here.id);
                let place = root_here
                    .canonical
                    .as_ref()
                    .map(|_| (root_here.device, root_here.inode));
                let dir = Visit {
                    root,
                    known,
                    place,
                    parent: None,
                    name: Box::default(),
                };
                if let Some((dir, children)) = self.visit(dir, &root_here.handle)? {
                    self.context.queue.push(Arc::new(dir), children);
                }
                Ok(())
            }
            Job::Child(parent, name) => self.walk_child(parent, name),
        }
    }

    fn walk_child(&mut self, parent: Arc<Dir>, name: Box<[u8]>) -> Result<(), Over> {
        let context = self.context;
        let root = &context.roots[parent.root];
        parent.relative(&mut self.relative);
        if !self.relative.is_empty() {
            self.relative.push(b'/');
        }
        self.relative.extend_from_slice(&name);
        let known = parent.known.and_then(|parent| context.table.child(parent, &name));
        let fail = |error: PathError| {
            // It is there, so nothing of it is taken for gone; and it was not listed, so nothing below is either.
            if let Some(known) = known {
                context.table.mark_seen(known);
            }
            self.sender.send(Message::Error(error)).map_err(|_| Over)
        };
        if parent.depth >= DEEPEST || self.relative.len() > LONGEST {
            return fail(PathError {
                path: root.path(&self.relative),
                kind: ErrorKind::TooDeep,
                detail: format!("deeper than {DEEPEST} levels or {LONGEST} bytes of path"),
            });
        }
        let handle = match open(&parent, &name, root) {
            Ok(handle) => handle,
            Err(error) if sys::is_absent(&error) => return Ok(()),
            Err(error) => return fail(PathError::io(root.path(&self.relative), "opening it", &error)),
        };
        let mut place = None;
        if root.request.one_file_system || root.canonical.is_some() {
            match sys::look_at(&handle) {
                Ok(look) if root.request.one_file_system && look.device != root.device => {
                    context.request.progress.ignored.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(look) => place = Some((look.device, look.entry.inode)),
                Err(error) => return fail(PathError::io(root.path(&self.relative), "looking at it", &error)),
            }
        }
        let dir = Visit {
            root: parent.root,
            known,
            place,
            parent: Some(parent),
            name,
        };
        if let Some((mut dir, children)) = self.visit(dir, &handle)? {
            dir.handle = Held::new(handle, &context.held);
            context.queue.push(Arc::new(dir), children);
        }
        Ok(())
    }

    /// Lists an open directory, tells of it if it differs, and gives it back with its children.
    fn visit(&mut self, visit: Visit, handle: &sys::Handle) -> Result<Option<(Dir, Names)>, Over> {
        let relative = mem::take(&mut self.relative);
        let here = Here {
            context: self.context,
            root: &self.context.roots[visit.root],
            handle,
            relative: &relative,
            parent: visit.parent.as_deref(),
            place: visit.place,
        };
        let told = self.look(&here, &visit);
        let path_bytes = relative.len();
        self.relative = relative;
        let Some(id) = told? else { return Ok(None) };
        let dir = Dir {
            handle: None,
            depth: visit.parent.as_ref().map_or(0, |parent| parent.depth + 1),
            parent: visit.parent,
            name: visit.name,
            root: visit.root,
            id,
            known: visit.known,
            path_bytes,
            rules: self.listing.rules.take(),
            place: visit.place,
        };
        Ok(Some((dir, mem::take(&mut self.listing.children))))
    }

    /// Lists and compares; `None` when the directory is not there or could not be listed.
    fn look(&mut self, here: &Here<'_, '_>, visit: &Visit) -> Result<Option<DirId>, Over> {
        let table = &self.context.table;
        if let Err(error) = self.listing.read(here, &mut self.buffer) {
            if visit.parent.is_some() && sys::is_absent(&error) {
                return Ok(None);
            }
            if let Some(known) = visit.known {
                table.mark_seen(known);
            }
            if visit.parent.is_none() {
                *here.root.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            let error = PathError::io(here.root.path(here.relative), "listing it", &error);
            self.send(Message::Error(error))?;
            return Ok(None);
        }
        for error in mem::take(&mut self.listing.errors) {
            self.send(Message::Error(error))?;
        }
        self.count(here);

        let mut stored = None;
        if self.listing.files().any(|(_, file)| file.kept) {
            let known = self.stored(visit)?;
            let entries: Vec<_> = decode_entries(&known.entries).into_iter().flatten().flatten().collect();
            self.listing.fill_kept(|name| {
                let place = entries.binary_search_by_key(&name, |(name, _)| name).ok()?;
                Some(entries[place].1)
            });
            stored = Some(known);
        }
        let digest = self.pack();
        let known_digest = visit.known.map(|known| table.digest(known));
        let id = match visit.known {
            Some(known) => table.id(known),
            None => DirId(self.context.next_dir.fetch_add(1, Ordering::Relaxed)),
        };
        if known_digest != Some(digest) || self.wants_contents(here) || self.context.request.name_all {
            let stored = match stored {
                Some(stored) => stored,
                None => self.stored(visit)?,
            };
            // What was read of a directory is stored as a whole or read again.
            let compared = compare(here, &self.listing, &stored, &mut self.content).ok_or(Over)?;
            self.tell(here, visit, id, digest, &stored, compared)?;
        }
        if let Some(known) = visit.known {
            table.mark_listed(known);
        }
        Ok(Some(id))
    }

    fn tell(
        &mut self,
        here: &Here<'_, '_>,
        visit: &Visit,
        id: DirId,
        digest: Digest,
        stored: &StoredDir,
        compared: Compared,
    ) -> Result<(), Over> {
        for error in compared.errors {
            self.send(Message::Error(error))?;
        }
        // Metadata that changed within the clock's grain is seen by the next scan's look at every file. Contents are
        // not looked at while the digest is equal, so a racy one leaves a digest that no directory has.
        let digest = if compared.racy { Digest([0; 16]) } else { digest };
        let known = visit.known.map(|known| self.context.table.digest(known));
        let is_known = known == Some(digest) && self.packed == stored.entries && compared.hashes == stored.hashes;
        if is_known && compared.items.is_empty() {
            return Ok(());
        }
        let mut path = here.root.path(here.relative);
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        self.send(Message::Found(Box::new(Found {
            root: visit.root,
            id,
            parent: visit.parent.as_ref().map(|parent| parent.id),
            name: visit.name.clone(),
            path,
            digest,
            stored: StoredDir {
                entries: self.packed.as_slice().into(),
                hashes: compared.hashes,
            },
            items: compared.items,
            names: compared.names,
            is_changed: !is_known,
        })))
    }

    fn send(&self, message: Message<R::Error>) -> Result<(), Over> {
        self.sender.send(message).map_err(|_| Over)
    }

    fn stored(&mut self, visit: &Visit) -> Result<StoredDir, Over> {
        let Some(known) = visit.known else {
            return Ok(StoredDir::default());
        };
        match self.reader.directory(self.context.table.id(known)) {
            Ok(stored) => Ok(stored.unwrap_or_default()),
            Err(error) => {
                self.send(Message::Failed(error))?;
                Err(Over)
            }
        }
    }

    fn pack(&mut self) -> Digest {
        let mut packer = Packer::new(&mut self.packed, self.listing.len());
        for (name, file) in self.listing.files() {
            packer.push(name, &file.look.entry);
        }
        let hash = blake3::keyed_hash(&self.context.key, &self.packed);
        let (digest, _) = hash.as_bytes().split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Digest(*digest)
    }

    /// Whether contents are to be read though no metadata changed.
    fn wants_contents(&self, here: &Here<'_, '_>) -> bool {
        match self.context.request.mode {
            Mode::Metadata => false,
            Mode::Hash { .. } => true,
            Mode::Hybrid { share, rotation, .. } => self
                .listing
                .files()
                .any(|(name, _)| is_turn(here, name, share, rotation)),
        }
    }

    fn count(&self, here: &Here<'_, '_>) {
        let (mut files, mut bytes) = (0, 0);
        for (_, file) in self.listing.files().filter(|(_, file)| !file.kept) {
            files += 1;
            let look = &file.look;
            let counts = look.links <= 1 || self.context.links.is_first(look.device, look.entry.inode, look.links);
            if counts && look.entry.kind() == FileKind::File {
                bytes += look.entry.size;
            }
        }
        here.root.files.fetch_add(files, Ordering::Relaxed);
        here.root.bytes.fetch_add(bytes, Ordering::Relaxed);
        let progress = &self.context.request.progress;
        progress.files.fetch_add(files, Ordering::Relaxed);
        progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        progress.dirs.fetch_add(1, Ordering::Relaxed);
        progress.ignored.fetch_add(self.listing.ignored, Ordering::Relaxed);
    }
}

/// A directory on the way into it.
struct Visit {
    root: usize,
    known: Option<Place>,
    place: Option<(u64, u64)>,
    parent: Option<Arc<Dir>>,
    name: Box<[u8]>,
}

fn open(parent: &Dir, name: &[u8], root: &Root<'_>) -> io::Result<sys::Handle> {
    let (from, names) = parent.way_to(name, &root.handle);
    let opened = sys::open_beneath(from, &names);
    let Some(inside) = &root.canonical else { return opened };
    match opened {
        // Links are followed: it may be one to a directory inside the root, now as when it was listed.
        Err(error) if sys::is_absent(&error) => match sys::follow(from, &names.join(&b'/'), inside)? {
            Some(found) => sys::open_place(&found.target),
            None => Err(error),
        },
        other => other,
    }
}
