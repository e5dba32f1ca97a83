//! A model of a server: it applies records and refuses those that do not fit what it holds.
use crate::{Change, Changed, ContentHash, Encoder, FileKind, Observer, PathError, varint};
use core_model::Run;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// What the server holds of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFile {
    /// Its kind.
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds.
    pub mtime_ns: i64,
    /// Last change of the metadata, in nanoseconds.
    pub ctime_ns: i64,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Inode.
    pub inode: u64,
    /// Hard links.
    pub links: u32,
    /// Content hash.
    pub hash: Option<ContentHash>,
}

/// A change without its metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A file was not there before.
    Created(Vec<u8>),
    /// A file differs.
    Updated(Vec<u8>, Changed),
    /// A file has another path: from, to.
    Moved(Vec<u8>, Vec<u8>),
    /// A file is gone.
    Deleted(Vec<u8>),
}

impl Event {
    fn of(change: &Change<'_>) -> Self {
        match change {
            // Observers are not told of files that are only named: this one would be told as wrong.
            Change::Present { file } | Change::Created { file } => Self::Created(file.path.to_vec()),
            Change::Updated { file, changed } => Self::Updated(file.path.to_vec(), *changed),
            Change::Moved { from, file } => Self::Moved(from.to_vec(), file.path.to_vec()),
            Change::Deleted { path } => Self::Deleted(path.to_vec()),
        }
    }
}

/// An observer that keeps every change and error.
#[derive(Debug, Default)]
pub struct Captured {
    events: Mutex<Vec<Event>>,
    errors: Mutex<Vec<PathError>>,
}

impl Captured {
    /// The changes so far, in order of their paths.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        events.sort();
        events
    }

    /// The errors so far.
    pub fn errors(&self) -> Vec<PathError> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Captured {
    fn change(&self, change: &Change<'_>) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Event::of(change));
    }

    fn error(&self, error: &PathError) {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(error.clone());
    }
}

/// Makes the records that a [`ModelServer`] reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerEncoder;

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

impl Encoder for ServerEncoder {
    fn encode(&mut self, change: &Change<'_>, out: &mut Vec<u8>) {
        let (tag, from, file) = match change {
            Change::Created { file } => (0, None, Some(file)),
            Change::Present { file } => (4, None, Some(file)),
            Change::Updated { file, .. } => (1, None, Some(file)),
            Change::Moved { from, file } => (2, Some(*from), Some(file)),
            Change::Deleted { path } => (3, Some(*path), None),
        };
        out.push(tag);
        put_bytes(out, from.unwrap_or_default());
        if let Some(file) = file {
            put_bytes(out, file.path);
            let kinds = [
                FileKind::File,
                FileKind::Symlink,
                FileKind::Fifo,
                FileKind::Socket,
                FileKind::BlockDevice,
                FileKind::CharDevice,
            ];
            out.push(kinds.iter().position(|kind| *kind == file.kind).unwrap_or(kinds.len()) as u8);
            let numbers = [
                file.size,
                u64::from(file.mode),
                u64::from(file.uid),
                u64::from(file.gid),
                file.inode,
                u64::from(file.links),
            ];
            numbers.iter().for_each(|number| varint::put(out, *number));
            varint::put_signed(out, file.mtime_ns);
            varint::put_signed(out, file.ctime_ns);
            put_bytes(out, &file.hash.map(|hash| hash.pack()).unwrap_or_default());
        }
    }
}

/// What a server holds after the records it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelServer {
    /// The files by path.
    pub files: BTreeMap<Vec<u8>, ServerFile>,
    /// What was named since a snapshot began; nothing need fit what is held while one is open.
    named: Option<BTreeSet<Vec<u8>>>,
}

impl ModelServer {
    /// From now on everything is told anew.
    pub fn begin_snapshot(&mut self) {
        self.named = Some(BTreeSet::new());
    }

    /// Everything was told: what was not named goes.
    pub fn end_snapshot(&mut self) {
        if let Some(named) = self.named.take() {
            self.files.retain(|path, _| named.contains(path));
        }
    }

    /// Applies runs in order.
    ///
    /// # Errors
    ///
    /// A record that is damaged, or that does not fit: created or moved to a path that is there, updated, moved from or
    /// deleted at one that is not.
    pub fn apply(&mut self, runs: &[Run]) -> Result<(), String> {
        for run in runs {
            let mut rest = run.body.as_slice();
            for _ in 0..run.records {
                let record = Record::take(&mut rest).ok_or("a record is damaged")?;
                self.apply_record(record)?;
            }
            if !rest.is_empty() {
                return Err("a run holds more records than it says".to_owned());
            }
        }
        Ok(())
    }

    fn apply_record(&mut self, record: Record) -> Result<(), String> {
        let shown = |path: &[u8]| path.escape_ascii().to_string();
        let Record { tag, from, file } = record;
        if let Some(named) = &mut self.named {
            if matches!(tag, 2 | 3) {
                self.files.remove(&from);
                named.remove(&from);
            }
            if let Some((path, file)) = file {
                named.insert(path.clone());
                self.files.insert(path, file);
            }
            return Ok(());
        }
        if matches!(tag, 2 | 3) && self.files.remove(&from).is_none() {
            return Err(format!("`{}` is moved or deleted but not there", shown(&from)));
        }
        let Some((path, file)) = file else { return Ok(()) };
        if self.files.contains_key(&path) != (tag == 1) {
            return Err(format!(
                "`{}` is told by tag {tag}, against what is there",
                shown(&path)
            ));
        }
        self.files.insert(path, file);
        Ok(())
    }
}

struct Record {
    tag: u8,
    from: Vec<u8>,
    file: Option<(Vec<u8>, ServerFile)>,
}

impl Record {
    fn take(rest: &mut &[u8]) -> Option<Self> {
        fn bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
            let length = varint::take(rest)?;
            varint::take_bytes(rest, length).map(<[u8]>::to_vec)
        }
        let tag = *varint::take_bytes(rest, 1)?.first()?;
        let from = bytes(rest)?;
        if tag == 3 {
            return Some(Self { tag, from, file: None });
        }
        let path = bytes(rest)?;
        let kind = match varint::take_bytes(rest, 1)?.first()? {
            0 => FileKind::File,
            1 => FileKind::Symlink,
            2 => FileKind::Fifo,
            3 => FileKind::Socket,
            4 => FileKind::BlockDevice,
            5 => FileKind::CharDevice,
            _ => FileKind::Other,
        };
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = varint::take(rest)?;
        }
        let [size, mode, uid, gid, inode, links] = numbers;
        let file = ServerFile {
            kind,
            size,
            mode: mode as u32,
            owner: (uid as u32, gid as u32),
            inode,
            links: links as u32,
            mtime_ns: varint::take_signed(rest)?,
            ctime_ns: varint::take_signed(rest)?,
            hash: ContentHash::unpack(&bytes(rest)?),
        };
        Some(Self {
            tag,
            from,
            file: Some((path, file)),
        })
    }
}
