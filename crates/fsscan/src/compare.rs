//! A directory as it is against what is known of it: which files appeared, changed and vanished, and their contents.
use crate::{
    Changed,
    codec::{EntryIter, decode_entries},
    content::{Content, ContentReader},
    context::{Context, Facts, Item, Note, What},
    entry::{Entry, FileKind},
    hashes::{self, KnownContent, decode_hashes},
    listing::{Here, Listed, Listing},
    request::Mode,
    summary::{ErrorKind, PathError},
    sys,
};
use core_model::StoredDir;

/// Where a directory is compared.
pub(crate) struct At<'h, 'a> {
    pub(crate) context: &'h Context<'a>,
    pub(crate) here: &'h Here<'h, 'a, Note>,
}

/// What comparing a directory gave.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) items: Vec<Item>,
    /// The names of `items`.
    pub(crate) names: Vec<u8>,
    /// The hashes to store.
    pub(crate) hashes: Vec<u8>,
    /// A content may change without its metadata showing it: the directory must be looked at by the next scan.
    pub(crate) racy: bool,
    pub(crate) errors: Vec<PathError>,
}

/// The known entries, each with what is known of its content, one after another.
struct Old<'a, H: Iterator> {
    entries: Option<EntryIter<'a>>,
    hashes: std::iter::Peekable<H>,
    index: u64,
    damaged: bool,
}

impl<'a, H: Iterator<Item = (u64, KnownContent)>> Old<'a, H> {
    fn next(&mut self) -> Option<(&'a [u8], Entry, Option<KnownContent>)> {
        let Ok((name, entry)) = self.entries.as_mut()?.next()? else {
            self.damaged = true;
            self.entries = None;
            return None;
        };
        let index = self.index;
        self.index += 1;
        while self.hashes.next_if(|(at, _)| *at < index).is_some() {}
        let content = self.hashes.next_if(|(at, _)| *at == index).map(|(_, content)| content);
        Some((name, entry, content))
    }
}

/// Compares `listing` with `stored`, and reads the contents that the mode asks for; `None` when the scan was stopped
/// meanwhile.
pub(crate) fn compare(
    at: &At<'_, '_>,
    listing: &Listing,
    stored: &StoredDir,
    reader: &mut ContentReader,
) -> Option<Compared> {
    let entries = decode_entries(&stored.entries);
    let mut old = Old {
        damaged: entries.is_err(),
        entries: entries.ok(),
        hashes: decode_hashes(&stored.hashes).peekable(),
        index: 0,
    };
    let mut compared = Compared::default();
    let mut known = old.next();
    for (index, (name, listed)) in listing.files().enumerate() {
        while let Some((gone, entry, content)) = known.filter(|(known, ..)| *known < name) {
            compared.vanished(gone, entry, content);
            known = old.next();
        }
        let before = known.filter(|(known, ..)| *known == name);
        if before.is_some() {
            known = old.next();
        }
        let before = before.map(|(_, entry, content)| (entry, content));
        compared.present(at, reader, index, name, listed, before)?;
    }
    while let Some((gone, entry, content)) = known {
        compared.vanished(gone, entry, content);
        known = old.next();
    }
    if old.damaged {
        compared.errors.push(PathError {
            path: at.here.root.path(at.here.relative),
            kind: ErrorKind::Damaged,
            detail: "reading what is known of it: the stored entries are damaged".to_owned(),
        });
    }
    Some(compared)
}

impl Compared {
    fn push(&mut self, what: What, name: &[u8], facts: Facts) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        let name = start..self.names.len();
        self.items.push(Item { what, name, facts });
    }

    fn vanished(&mut self, name: &[u8], entry: Entry, content: Option<KnownContent>) {
        let hash = content.map(|content| content.hash);
        let facts = Facts {
            entry,
            hash,
            ..Facts::default()
        };
        self.push(What::Vanished, name, facts);
    }

    fn present(
        &mut self,
        at: &At<'_, '_>,
        reader: &mut ContentReader,
        index: usize,
        name: &[u8],
        listed: &Listed,
        before: Option<(Entry, Option<KnownContent>)>,
    ) -> Option<()> {
        let entry = listed.look.entry;
        let known = before.and_then(|(_, content)| content);
        let mut changed = before.map(|(old, _)| old.changed(&entry));
        let untouched = Changed::SIZE
            .union(Changed::MTIME)
            .union(Changed::CTIME)
            .union(Changed::IDENTITY);
        let is_untouched = changed.is_some_and(|changed| !changed.intersects(untouched));

        let mut content = Content::default();
        if entry.kind() == FileKind::File && !listed.kept {
            let hash = wants_hash(at, name, changed, known.as_ref());
            let names_all = at.context.request.name_all;
            let sniff =
                at.context.request.mime.content && (names_all || changed.is_none_or(|changed| !changed.is_empty()));
            if hash || sniff {
                let algorithm = at.context.request.mode.algorithm().filter(|_| hash);
                let read = sys::open_file(at.here.handle, name, at.here.root.canonical.as_deref())
                    .and_then(|file| reader.read(file, &entry, algorithm, sniff, at.context.ground.stop));
                match read {
                    Ok(Some(read)) => content = read,
                    Ok(None) => return None,
                    Err(error) if sys::is_absent(&error) => {}
                    Err(error) => {
                        let path = at.here.root.path(&at.here.child(name));
                        self.errors.push(PathError::io(path, "reading its content", &error));
                    }
                }
            }
        }
        if let (Some(changed), Some(new), Some(known)) = (&mut changed, content.hash, known) {
            changed.set(
                Changed::CONTENT,
                new.algorithm == known.hash.algorithm && new != known.hash,
            );
        }
        let kept = known.filter(|_| is_untouched && content.hash.is_none());
        let hash = content.hash.or(kept.map(|known| known.hash));
        if let Some(hash) = hash {
            let racy = kept.map_or(content.racy, |known| known.racy);
            hashes::push(&mut self.hashes, index, &KnownContent { hash, racy });
            self.racy |= racy;
        }
        let what = match changed {
            None => What::Appeared,
            Some(changed) if changed.is_empty() && !at.context.request.name_all => return Some(()),
            Some(changed) if changed.is_empty() => What::Present,
            Some(changed) => What::Updated(changed),
        };
        let facts = Facts {
            entry,
            links: listed.look.links,
            allocated: listed.look.allocated,
            hash,
            mime: content.mime,
        };
        self.push(what, name, facts);
        Some(())
    }
}

/// Whether the content of a regular file is to be read; `changed` is what its metadata show, `None` for a new file.
fn wants_hash(at: &At<'_, '_>, name: &[u8], changed: Option<Changed>, known: Option<&KnownContent>) -> bool {
    match at.context.request.mode {
        Mode::Metadata => false,
        Mode::Hash { .. } => true,
        Mode::Hybrid { share, rotation, .. } => {
            let moved = Changed::SIZE.union(Changed::MTIME).union(Changed::IDENTITY);
            changed.is_none_or(|changed| changed.intersects(moved))
                || known.is_some_and(|known| known.racy)
                || is_turn(at, name, share, rotation)
        }
    }
}

/// Whether it is the turn of a file: each has one in `1/share` scans, by a hash that nobody can foresee.
pub(crate) fn is_turn(at: &At<'_, '_>, name: &[u8], share: f64, rotation: u64) -> bool {
    if share <= 0.0 {
        return false;
    }
    let turns = (1.0 / share).ceil().clamp(1.0, 1e9) as u64;
    let hash = blake3::keyed_hash(&at.context.key, &at.here.root.path(&at.here.child(name)));
    let place = hash
        .as_bytes()
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    place % turns == rotation % turns
}
