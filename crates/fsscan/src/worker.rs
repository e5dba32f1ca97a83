//! What a scan does with a directory: compares it with what is known, and tells the writer if it differs.
use crate::{
    codec::{Packer, decode_entries},
    compare::{At, Compared, compare, is_turn},
    content::ContentReader,
    context::{Context, Found, Message, Note},
    entry::FileKind,
    listing::{Here, Listing, Wanted},
    request::Mode,
    summary::PathError,
    table::Place,
    walker::{Over, Steps, Way},
};
use core_model::{Digest, DirId, StoredDir, TreeReader};
use crossbeam_channel::Sender;
use std::{mem, sync::atomic::Ordering};

pub(crate) struct Worker<'c, 'a, R: TreeReader> {
    context: &'c Context<'a>,
    reader: R,
    sender: Sender<Message<R::Error>>,
    content: ContentReader,
    packed: Vec<u8>,
}

impl<R: TreeReader> Steps for Worker<'_, '_, R> {
    type Note = Note;
    type Before = Option<Place>;
    const LOOKS: bool = false;

    fn before(&mut self, way: &Way<'_, Note>) -> Option<(Option<Place>, Wanted)> {
        let table = &self.context.table;
        let known = match way.parent {
            None => table.root(self.context.ground.roots[way.root].id),
            Some(parent) => parent.note.known.and_then(|parent| table.child(parent, way.name)),
        };
        Some((known, Wanted::Files))
    }

    fn elsewhere(&mut self, _way: &Way<'_, Note>) -> Result<(), Over> {
        self.context.request.progress.ignored.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn failed(&mut self, _way: &Way<'_, Note>, known: Option<Place>, error: PathError) -> Result<(), Over> {
        // It is there, so nothing of it is taken for gone; and it was not listed, so nothing below is either.
        if let Some(known) = known {
            self.context.table.mark_seen(known);
        }
        self.send(Message::Error(error))
    }

    fn listed(
        &mut self,
        way: &Way<'_, Note>,
        known: Option<Place>,
        here: &Here<'_, '_, Note>,
        listing: &mut Listing,
    ) -> Result<Note, Over> {
        let table = &self.context.table;
        for error in mem::take(&mut listing.errors) {
            self.send(Message::Error(error))?;
        }
        self.count(here, listing);
        let at = At {
            context: self.context,
            here,
        };

        let mut stored = None;
        if listing.files().any(|(_, file)| file.kept) {
            let known = self.stored(known)?;
            let entries: Vec<_> = decode_entries(&known.entries).into_iter().flatten().flatten().collect();
            listing.fill_kept(|name| {
                let place = entries.binary_search_by_key(&name, |(name, _)| name).ok()?;
                Some(entries[place].1)
            });
            stored = Some(known);
        }
        let digest = self.pack(listing);
        let known_digest = known.map(|known| table.digest(known));
        let id = match known {
            Some(known) => table.id(known),
            None => DirId(self.context.next_dir.fetch_add(1, Ordering::Relaxed)),
        };
        if known_digest != Some(digest) || self.wants_contents(&at, listing) || self.context.request.name_all {
            let stored = match stored {
                Some(stored) => stored,
                None => self.stored(known)?,
            };
            // What was read of a directory is stored as a whole or read again.
            let compared = compare(&at, listing, &stored, &mut self.content).ok_or(Over)?;
            self.tell(&at, way, Note { id, known }, digest, &stored, compared)?;
        }
        if let Some(known) = known {
            table.mark_listed(known);
        }
        Ok(Note { id, known })
    }
}

impl<'c, 'a, R: TreeReader> Worker<'c, 'a, R> {
    pub(crate) fn new(context: &'c Context<'a>, reader: R, sender: Sender<Message<R::Error>>) -> Self {
        Self {
            context,
            reader,
            sender,
            content: ContentReader::default(),
            packed: Vec::new(),
        }
    }

    fn tell(
        &mut self,
        at: &At<'_, '_>,
        way: &Way<'_, Note>,
        note: Note,
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
        let known_digest = note.known.map(|known| self.context.table.digest(known));
        let is_known =
            known_digest == Some(digest) && self.packed == stored.entries && compared.hashes == stored.hashes;
        if is_known && compared.items.is_empty() {
            return Ok(());
        }
        let mut path = at.here.root.path(at.here.relative);
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        self.send(Message::Found(Box::new(Found {
            root: way.root,
            id: note.id,
            parent: way.parent.map(|parent| parent.note.id),
            name: way.name.into(),
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

    fn stored(&mut self, known: Option<Place>) -> Result<StoredDir, Over> {
        let Some(known) = known else {
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

    fn pack(&mut self, listing: &Listing) -> Digest {
        let mut packer = Packer::new(&mut self.packed, listing.len());
        for (name, file) in listing.files() {
            packer.push(name, &file.look.entry);
        }
        let hash = blake3::keyed_hash(&self.context.key, &self.packed);
        let (digest, _) = hash.as_bytes().split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Digest(*digest)
    }

    /// Whether contents are to be read though no metadata changed.
    fn wants_contents(&self, at: &At<'_, '_>, listing: &Listing) -> bool {
        match self.context.request.mode {
            Mode::Metadata => false,
            Mode::Hash { .. } => true,
            Mode::Hybrid { share, rotation, .. } => listing.files().any(|(name, _)| is_turn(at, name, share, rotation)),
        }
    }

    fn count(&self, here: &Here<'_, '_, Note>, listing: &Listing) {
        let (mut files, mut bytes) = (0, 0);
        for (_, file) in listing.files().filter(|(_, file)| !file.kept) {
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
        progress.ignored.fetch_add(listing.ignored, Ordering::Relaxed);
    }
}
