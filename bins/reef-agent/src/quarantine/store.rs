//! The directory of a quarantine: its lock, its key, and the files of its items.
//!
//! An item is a content, `ID.data`, and a file beside it whose name says how far it is: `ID.taking` while the content is
//! copied, `ID.removing` from when both are complete until it is certain that the original is gone, then `ID.json`.
//! `ID.restoring` stands beside that while it is brought back. Whoever changes anything holds the lock together with
//! others; whoever puts in order what the dead left behind holds it alone.
use super::{Failed, Item, ItemError, ItemId, Manifest, OpenError, place, seal::KEY_LENGTH, stamp::Stamp};
use rustix::fs::{Dir, FlockOperation, Mode, OFlags};
use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

pub(super) const KEY: &str = "key";
const LOCK: &str = "lock";
/// No manifest is longer, in bytes: extended attributes are, by the kernel, far less.
const LONGEST_MANIFEST: u64 = 64 << 20;

/// One of the files of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The content, sealed.
    Data,
    /// Stands for an item that is not complete.
    Taking,
    /// The manifest, while the original may be there still.
    Removing,
    /// The manifest.
    Manifest,
    /// Where an item is about to be brought back.
    Restoring,
    /// What becomes that when it is written.
    Draft,
}

const PARTS: [(Part, &str); 6] = [
    (Part::Data, ".data"),
    (Part::Taking, ".taking"),
    (Part::Removing, ".removing"),
    (Part::Manifest, ".json"),
    (Part::Restoring, ".restoring"),
    (Part::Draft, ".draft"),
];

impl Part {
    /// The name of this file of an item.
    pub(super) fn name(self, id: &ItemId) -> Vec<u8> {
        let suffix = PARTS
            .iter()
            .find(|(part, _)| *part == self)
            .map_or("", |(_, suffix)| suffix);
        format!("{id}{suffix}").into_bytes()
    }

    fn parse(name: &[u8]) -> Option<(ItemId, Self)> {
        let name = std::str::from_utf8(name).ok()?;
        let parse = |(part, suffix): &(Self, &str)| Some((name.strip_suffix(suffix)?.parse().ok()?, *part));
        PARTS.iter().find_map(parse)
    }
}

/// An open quarantine directory.
pub(super) struct Store {
    pub(super) dir: OwnedFd,
    pub(super) path: PathBuf,
    pub(super) key: [u8; KEY_LENGTH],
}

/// The lock of a store, until this is dropped.
#[must_use]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being started elsewhere has a copy for a moment, and the lock with it.
        rustix::fs::flock(&self.0, FlockOperation::Unlock).ok();
    }
}

/// The manifest of an item, and the right to restore or delete it.
pub(super) struct Claimed {
    pub(super) item: Item,
    _held: Held,
}

impl Store {
    /// Opens the directory, and makes it and its key where there are none.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(Failed::to("make the quarantine directory", path))?;
        if let Some(parent) = path.parent() {
            place::open_named(parent)
                .and_then(|parent| place::sync(&parent))
                .map_err(Failed::to("write", parent))?;
        }
        let dir = place::open_named(path).map_err(Failed::to("open", path))?;
        secure(&dir, path)?;
        let mut store = Self {
            dir,
            path: path.to_owned(),
            key: [0; KEY_LENGTH],
        };
        store.key = store.read_key()?;
        Ok(store)
    }

    /// The path of one of its files, for people.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        place::join(&self.path, name)
    }

    fn read_key(&self) -> Result<[u8; KEY_LENGTH], OpenError> {
        let path = self.path_of(KEY.as_bytes());
        let mut file = match place::open_file(&self.dir, KEY.as_bytes()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_key(&path)?;
                place::open_file(&self.dir, KEY.as_bytes()).map_err(Failed::to("open", &path))?
            }
            Err(error) => return Err(Failed::to("open", &path)(error).into()),
        };
        let mut bytes = Vec::new();
        let mut limited = (&mut file).take(KEY_LENGTH as u64 + 1);
        limited.read_to_end(&mut bytes).map_err(Failed::to("read", &path))?;
        bytes.try_into().map_err(|_| OpenError::KeyDamaged { path })
    }

    /// Makes a key, which only its whole content gets the name of: of two processes that do so, one wins.
    fn make_key(&self, path: &Path) -> Result<(), OpenError> {
        if !self.parts()?.is_empty() {
            // Somebody may have made it, and used it, since it was looked for.
            return match Stamp::look(&self.dir, KEY.as_bytes()) {
                Ok(_) => Ok(()),
                Err(_) => Err(OpenError::KeyMissing { path: path.to_owned() }),
            };
        }
        let mut key = [0; KEY_LENGTH];
        let unique = ItemId::new(chrono::Utc::now()).map_err(Failed::to("make", path))?;
        let draft = format!("{KEY}.{unique}").into_bytes();
        let made = getrandom::fill(&mut key)
            .map_err(io::Error::other)
            .and_then(|()| self.write_new(&draft, &key))
            .and_then(|()| place::move_to_free_name(&self.dir, &draft, &self.dir, KEY.as_bytes()));
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failed::to("make", path)(error).into());
            }
            Err(_) => place::remove(&self.dir, &draft).map_err(Failed::to("remove", path))?,
            Ok(()) => {}
        }
        Ok(self.sync()?)
    }

    /// The files of items that there are, sorted.
    pub(super) fn parts(&self) -> Result<Vec<(ItemId, Part)>, Failed> {
        let entries = Dir::read_from(&self.dir).map_err(Failed::to("list", &self.path))?;
        let mut parts = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Failed::to("list", &self.path))?;
            parts.extend(Part::parse(entry.file_name().to_bytes()));
        }
        parts.sort_unstable();
        Ok(parts)
    }

    /// The items that there are, sorted.
    pub(super) fn ids(&self) -> Result<Vec<ItemId>, Failed> {
        let parts = self.parts()?;
        let mut ids = Vec::new();
        for of_one in parts.chunk_by(|(one, _), (other, _)| one == other) {
            let is_listed = |wanted| of_one.iter().any(|(_, part)| *part == wanted);
            let id = of_one[0].0;
            // A listing may miss a name that is changed meanwhile, under the old one and under the new one.
            if is_listed(Part::Manifest)
                || is_listed(Part::Removing)
                || (is_listed(Part::Data) && self.open_item(&id).is_ok())
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Holds the lock together with others: while somebody does, nobody puts in order what seems left behind.
    pub(super) fn hold(&self) -> Result<Held, Failed> {
        self.lock(FlockOperation::LockShared)
    }

    /// Holds the lock alone; `None` while others hold it.
    pub(super) fn hold_alone(&self) -> Result<Option<Held>, Failed> {
        match self.lock(FlockOperation::NonBlockingLockExclusive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    fn lock(&self, operation: FlockOperation) -> Result<Held, Failed> {
        let path = self.path_of(LOCK.as_bytes());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Opened anew each time: such a lock belongs to the opening, so that threads of one process count, too.
        let file = rustix::fs::openat(&self.dir, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(Failed::to("open", &path))?;
        loop {
            match rustix::fs::flock(&file, operation) {
                Err(rustix::io::Errno::INTR) => {}
                done => {
                    done.map_err(Failed::to("lock", &path))?;
                    return Ok(Held(file));
                }
            }
        }
    }

    /// Reads the manifest of an item, wherever it is.
    pub(super) fn item(&self, id: &ItemId) -> Result<Item, ItemError> {
        self.open_item(id)?.read(id)
    }

    /// Reads the manifest of an item, and keeps others from restoring or deleting it.
    pub(super) fn claim(&self, id: &ItemId) -> Result<Claimed, ItemError> {
        let mut opened = self.open_item(id)?;
        let item = opened.read(id)?;
        let _held = self.claim_opened(id, opened)?;
        Ok(Claimed { item, _held })
    }

    /// Keeps others from restoring or deleting an item, whether its manifest can be read or not.
    pub(super) fn claim_unread(&self, id: &ItemId) -> Result<Held, ItemError> {
        self.claim_opened(id, self.open_item(id)?)
    }

    fn claim_opened(&self, id: &ItemId, opened: Opened) -> Result<Held, ItemError> {
        let Opened { path, name, file, .. } = opened;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ItemError::Busy(*id)),
            other => other.map_err(Failed::to("lock", &path))?,
        }
        let held = Held(file);
        // Whoever held it before may have removed it.
        let opened = Stamp::of(&held.0).map_err(Failed::to("look at", &path))?;
        match Stamp::look(&self.dir, &name) {
            Ok(named) if named.is_same_file(&opened) => Ok(held),
            Ok(_) => Err(ItemError::Busy(*id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ItemError::Unknown(*id)),
            Err(error) => Err(Failed::to("look at", &path)(error).into()),
        }
    }

    fn open_item(&self, id: &ItemId) -> Result<Opened, ItemError> {
        // Between the first look and the second, one may become the other.
        for (part, is_settled) in [(Part::Manifest, true), (Part::Removing, false), (Part::Manifest, true)] {
            let name = part.name(id);
            let path = self.path_of(&name);
            match place::open_file(&self.dir, &name) {
                Ok(file) => {
                    return Ok(Opened {
                        name,
                        path,
                        file,
                        is_settled,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failed::to("open", &path)(error).into()),
            }
        }
        Err(ItemError::Unknown(*id))
    }

    /// Writes a file that was not there, and has it outlive a loss of power; its name does so with [`sync`](Self::sync).
    pub(super) fn write_new(&self, name: &[u8], content: &[u8]) -> io::Result<()> {
        let mut file = place::create_new(&self.dir, name)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Gives a file of an item another meaning, at once.
    pub(super) fn turn(&self, id: &ItemId, from: Part, to: Part) -> Result<(), Failed> {
        let (from, to) = (from.name(id), to.name(id));
        rustix::fs::renameat(&self.dir, &from, &self.dir, &to).map_err(Failed::to("rename", &self.path_of(&from)))?;
        self.sync()
    }

    /// Removes a file of an item; that there is none is no failure.
    pub(super) fn remove(&self, id: &ItemId, part: Part) -> Result<(), Failed> {
        let name = part.name(id);
        place::remove(&self.dir, &name).map_err(Failed::to("remove", &self.path_of(&name)))
    }

    /// Removes all of an item. What says that there is one goes first: half an item is none.
    pub(super) fn forget(&self, id: &ItemId) -> Result<(), Failed> {
        for part in [Part::Manifest, Part::Removing, Part::Taking] {
            self.remove(id, part)?;
        }
        self.sync()?;
        self.remove(id, Part::Data)?;
        self.remove(id, Part::Restoring)?;
        self.remove(id, Part::Draft)?;
        self.sync()
    }

    /// Has what was done with names outlive a loss of power.
    pub(super) fn sync(&self) -> Result<(), Failed> {
        place::sync(&self.dir).map_err(Failed::to("write", &self.path))
    }
}

/// An open manifest.
struct Opened {
    name: Vec<u8>,
    path: PathBuf,
    file: File,
    is_settled: bool,
}

impl Opened {
    fn read(&mut self, id: &ItemId) -> Result<Item, ItemError> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.file).take(LONGEST_MANIFEST);
        limited
            .read_to_end(&mut bytes)
            .map_err(Failed::to("read", &self.path))?;
        let manifest = Manifest::parse(&bytes, id).map_err(|source| ItemError::Manifest { id: *id, source })?;
        Ok(Item {
            manifest,
            is_settled: self.is_settled,
        })
    }
}

/// Only who runs this may own the directory, and nobody else may look inside.
fn secure(dir: &OwnedFd, path: &Path) -> Result<(), OpenError> {
    let stat = rustix::fs::fstat(dir).map_err(Failed::to("look at", path))?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
            owner: stat.st_uid,
        });
    }
    if Mode::from_raw_mode(stat.st_mode) != Mode::RWXU {
        rustix::fs::fchmod(dir, Mode::RWXU).map_err(Failed::to("close to others", path))?;
    }
    Ok(())
}
