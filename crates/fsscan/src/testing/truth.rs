//! The slow and simple oracle: every path's `lstat` before and after, and the definitions of the changes between.
use super::{Event, ServerFile};
use crate::{Changed, FileKind};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
    time::UNIX_EPOCH,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    file: ServerFile,
    device: u64,
    birth: Option<u128>,
}

impl Seen {
    fn identity(&self) -> (u64, u64, Option<u128>) {
        (self.device, self.file.inode, self.birth)
    }
}

/// Every file under a directory, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<Vec<u8>, Seen>);

impl Snapshot {
    /// Looks at everything under `dir`, one file after another.
    ///
    /// # Errors
    ///
    /// When a directory or file cannot be looked at.
    pub fn take(dir: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                let found = fs::symlink_metadata(&path)?;
                if found.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(path.as_os_str().as_bytes().to_vec(), look(&found));
                }
            }
        }
        Ok(Self(files))
    }

    /// What a server must hold that knows all this, hashes aside.
    pub fn files(&self) -> BTreeMap<Vec<u8>, ServerFile> {
        self.0.iter().map(|(path, seen)| (path.clone(), seen.file)).collect()
    }
}

fn look(found: &fs::Metadata) -> Seen {
    let kind = found.file_type();
    let kind = if kind.is_file() {
        FileKind::File
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_block_device() {
        FileKind::BlockDevice
    } else {
        FileKind::CharDevice
    };
    let birth = found
        .created()
        .ok()
        .and_then(|birth| birth.duration_since(UNIX_EPOCH).ok());
    Seen {
        file: ServerFile {
            kind,
            size: found.size(),
            mtime_ns: found.mtime() * 1_000_000_000 + found.mtime_nsec(),
            ctime_ns: found.ctime() * 1_000_000_000 + found.ctime_nsec(),
            mode: found.mode() & 0o7777,
            owner: (found.uid(), found.gid()),
            inode: found.ino(),
            links: u32::try_from(found.nlink()).unwrap_or(u32::MAX),
            hash: None,
        },
        device: found.dev(),
        birth: birth.map(|birth| birth.as_nanos()),
    }
}

fn changed(old: &Seen, new: &Seen) -> Changed {
    let mut changed = Changed::default();
    let (before, after) = (&old.file, &new.file);
    changed.set(Changed::SIZE, before.size != after.size);
    changed.set(Changed::MTIME, before.mtime_ns != after.mtime_ns);
    changed.set(Changed::CTIME, before.ctime_ns != after.ctime_ns);
    changed.set(Changed::MODE, before.mode != after.mode);
    changed.set(Changed::OWNER, before.owner != after.owner);
    changed.set(Changed::TYPE, before.kind != after.kind);
    changed.set(Changed::IDENTITY, old.identity() != new.identity());
    changed
}

/// What a scan must tell between two looks: by path first, then what vanished with what appeared, of the same identity
/// and size, in the order of paths. Sorted.
pub fn expected_events(before: &Snapshot, after: &Snapshot) -> Vec<Event> {
    let mut events = Vec::new();
    let mut gone = Vec::new();
    for (path, old) in &before.0 {
        match after.0.get(path) {
            None => gone.push((path, old)),
            Some(new) if changed(old, new).is_empty() => {}
            Some(new) => events.push(Event::Updated(path.clone(), changed(old, new))),
        }
    }
    for (path, new) in after.0.iter().filter(|(path, _)| !before.0.contains_key(*path)) {
        let is_it = |(_, old): &(&Vec<u8>, &Seen)| old.identity() == new.identity() && old.file.size == new.file.size;
        match gone.iter().position(is_it) {
            None => events.push(Event::Created(path.clone())),
            Some(place) => events.push(Event::Moved(gone.remove(place).0.clone(), path.clone())),
        }
    }
    events.extend(gone.into_iter().map(|(path, _)| Event::Deleted(path.clone())));
    events.sort();
    events
}
