//! The contract between whoever walks file systems and whoever remembers them.
//!
//! A *root* is a configured path. A *directory* is remembered as two opaque blobs (its packed entries, and the content
//! hashes of those that were hashed) and a digest of the first: equal digests mean that nothing in it changed, and its
//! blobs need not be read. An *undecided* entry is a file that appeared or vanished and of which it is not yet known
//! whether it moved: it waits, durably, until the scan is complete.
use crate::Run;
use chrono::{DateTime, Utc};

/// A root's number. Never reused within a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// A directory's number, given by whoever walks. Never reused within a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirId(pub u64);

/// A keyed digest of a directory's packed entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 16]);

/// What tells one mounted root from another that has the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootIdentity {
    /// `st_dev` of the root. It may change when the machine restarts, so it identifies nothing by itself.
    pub device: u64,
    /// `f_fsid` of the file system: made from its UUID on ext4, from the device on others.
    pub fs_id: u64,
    /// `f_type` of the file system.
    pub fs_type: u64,
    /// Inode of the root directory.
    pub inode: u64,
    /// Birth time of the root directory in nanoseconds since the epoch; 0 where the file system has none.
    pub birth_ns: i64,
}

impl RootIdentity {
    /// Whether both are the same directory of the same volume, though device numbers may have been dealt anew.
    pub fn is_same_volume(&self, other: &Self) -> bool {
        let born_together = self.birth_ns != 0 && self.birth_ns == other.birth_ns;
        self.fs_type == other.fs_type && self.inode == other.inode && (born_together || self.fs_id == other.fs_id)
    }
}

/// What identifies a file through renames: device, inode and birth time, packed by whoever walks. Equal only for names
/// of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 24]);

/// A root as it was left by the last scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRoot {
    /// Its number.
    pub id: RootId,
    /// Its path, as raw bytes.
    pub path: Vec<u8>,
    /// Its identity when it was last scanned; `None` before the first scan and after the operator accepted a change.
    pub identity: Option<RootIdentity>,
    /// Files known in it.
    pub files: u64,
    /// The operator has said that the next scan may take away any share of it.
    pub accepted: bool,
    /// Deletions that are held until the operator accepts them.
    pub held: u64,
    /// When a scan of it was last completed.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A directory as it was left by the last scan, without its blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownDir<'a> {
    /// Its number.
    pub id: DirId,
    /// The root it lies in.
    pub root: RootId,
    /// The directory it lies in; `None` for the root itself.
    pub parent: Option<DirId>,
    /// Its name in the parent, as raw bytes; empty for the root itself.
    pub name: &'a [u8],
    /// Digest of its packed entries.
    pub digest: Digest,
}

/// The blobs of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDir {
    /// Its packed entries.
    pub entries: Vec<u8>,
    /// The hashes known of its entries, packed; empty when there are none.
    pub hashes: Vec<u8>,
}

/// A directory to insert or replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirUpdate {
    /// Its number.
    pub id: DirId,
    /// The root it lies in.
    pub root: RootId,
    /// The directory it lies in; `None` for the root itself.
    pub parent: Option<DirId>,
    /// Its name in the parent.
    pub name: Vec<u8>,
    /// Digest of `stored.entries`.
    pub digest: Digest,
    /// Its blobs.
    pub stored: StoredDir,
}

/// A root to insert or change. Fields that are `None` stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootUpdate {
    /// Its number.
    pub id: RootId,
    /// Its path; wanted when it is new.
    pub path: Option<Vec<u8>>,
    /// Its identity; `Some(None)` forgets it.
    pub identity: Option<Option<RootIdentity>>,
    /// Files known in it.
    pub files: Option<u64>,
    /// Whether the next scan may take away any share of it.
    pub accepted: Option<bool>,
    /// How many deletions are held.
    pub held: Option<u64>,
    /// When a scan of it was completed.
    pub completed_at: Option<DateTime<Utc>>,
}

impl RootUpdate {
    /// An update of `id` that changes nothing yet.
    pub const fn new(id: RootId) -> Self {
        Self {
            id,
            path: None,
            identity: None,
            files: None,
            accepted: None,
            held: None,
            completed_at: None,
        }
    }
}

/// Which side of a possible move an undecided entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The server knows this path; the disk no longer has it.
    Gone,
    /// The disk has this path; the server does not know it yet.
    New,
}

/// A file that appeared or vanished and may have moved. There is at most one for each path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Its path, as raw bytes.
    pub path: Vec<u8>,
    /// The root it lies or lay in.
    pub root: RootId,
    /// Appeared or vanished.
    pub side: Side,
    /// What it is matched by.
    pub identity: Identity,
    /// Its packed entry.
    pub entry: Vec<u8>,
    /// Its content hash, packed; empty when none is known.
    pub hash: Vec<u8>,
}

/// A change of the undecided entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndecidedUpdate {
    /// Insert it, or replace the one of its path.
    Put(Undecided),
    /// Forget the one of this path.
    Remove(Vec<u8>),
}

/// Changes that are stored together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Roots, before anything that refers to them.
    pub roots: Vec<RootUpdate>,
    /// Directories, parents before children.
    pub dirs: Vec<DirUpdate>,
    /// Directories to forget.
    pub removed_dirs: Vec<DirId>,
    /// Roots to forget, with every directory of theirs.
    pub removed_roots: Vec<RootId>,
    /// Undecided entries, in order.
    pub undecided: Vec<UndecidedUpdate>,
}

impl Batch {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads stored directories beside the writer, one for each walking thread.
pub trait TreeReader: Send {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The blobs of a directory as last committed; `None` when it is not known.
    fn directory(&mut self, id: DirId) -> Result<Option<StoredDir>, Self::Error>;
}

/// What is remembered of a file system between scans. One scan at a time owns it.
pub trait KnownTree {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;
    /// Its readers.
    type Reader: TreeReader<Error = Self::Error> + 'static;

    /// A random key made with the state, for digests that nobody outside can foresee.
    fn key(&self) -> [u8; 32];

    /// A reader that sees what was committed.
    fn reader(&self) -> Result<Self::Reader, Self::Error>;

    /// All roots, by number.
    fn roots(&self) -> Result<Vec<KnownRoot>, Self::Error>;

    /// Calls `each` for every directory, by number, without reading a blob.
    fn directories(&self, each: &mut dyn FnMut(KnownDir<'_>)) -> Result<(), Self::Error>;

    /// The undecided entry of a path.
    fn undecided_at(&self, path: &[u8]) -> Result<Option<Undecided>, Self::Error>;

    /// Undecided entries in the order of (identity, side, path), after `after`, at most `limit`.
    fn undecided_after(&self, after: Option<&Undecided>, limit: usize) -> Result<Vec<Undecided>, Self::Error>;

    /// Stores `batch` and, in the same transaction, puts `bodies` into the outbox: both or neither survive a crash.
    fn commit(&mut self, batch: Batch, bodies: Vec<Run>, now: DateTime<Utc>) -> Result<(), Self::Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_the_same_after_a_restart_and_another_after_an_unmount() {
        let ext4 = RootIdentity {
            device: 0xfe00,
            fs_id: 7,
            fs_type: 0xef53,
            inode: 2,
            birth_ns: 0,
        };
        assert!(
            ext4.is_same_volume(&RootIdentity { device: 0xfe10, ..ext4 }),
            "device numbers are dealt anew"
        );
        assert!(
            !ext4.is_same_volume(&RootIdentity { inode: 131_073, ..ext4 }),
            "the bare mount point"
        );
        assert!(
            !ext4.is_same_volume(&RootIdentity { fs_id: 8, ..ext4 }),
            "another volume, both without birth times"
        );
        let xfs = RootIdentity {
            device: 1,
            fs_id: 1,
            fs_type: 0x5846_5342,
            inode: 128,
            birth_ns: 99,
        };
        assert!(
            xfs.is_same_volume(&RootIdentity {
                device: 2,
                fs_id: 2,
                ..xfs
            }),
            "its fs_id follows the device"
        );
    }
}
