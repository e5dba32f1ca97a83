//! What a scan tells of: changes, one record each, and errors.
use crate::{
    entry::{Changed, FileKind},
    hashes::ContentHash,
    summary::PathError,
};

/// A file as the scan saw it. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta<'a> {
    /// Its absolute path, as raw bytes.
    pub path: &'a [u8],
    /// Its kind.
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Bytes allocated on disk; less than `size` for a sparse file.
    pub allocated: u64,
    /// Last change of the content.
    pub mtime_ns: i64,
    /// Last change of the metadata.
    pub ctime_ns: i64,
    /// Birth, where the file system knows it.
    pub btime_ns: Option<i64>,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Owner's name, where there is one.
    pub owner: Option<&'a str>,
    /// Group's name, where there is one.
    pub group: Option<&'a str>,
    /// Inode.
    pub inode: u64,
    /// Device number; `None` for a file that moved in an earlier scan whose volume this one did not meet.
    pub device: Option<u64>,
    /// Hard links.
    pub links: u32,
    /// MIME type of a regular file, by content where that was asked for and known, else by extension.
    pub mime: Option<&'a str>,
    /// Hash of its content, where hashing is on.
    pub hash: Option<ContentHash>,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Nothing: it is named because [`name_all`](crate::ScanRequest::name_all) asks for it. Only records are made of
    /// it; an [`Observer`] is not told, and it is not counted.
    Present {
        /// As it is now, or as it was last known if it is gone.
        file: FileMeta<'a>,
    },
    /// It was not there at the last scan.
    Created {
        /// As it is now.
        file: FileMeta<'a>,
    },
    /// It differs from the last scan.
    Updated {
        /// As it is now.
        file: FileMeta<'a>,
        /// What differs.
        changed: Changed,
    },
    /// The same file has another path.
    Moved {
        /// The path it had.
        from: &'a [u8],
        /// As it is now.
        file: FileMeta<'a>,
    },
    /// It is gone.
    Deleted {
        /// The path it had.
        path: &'a [u8],
    },
}

/// Makes records of changes.
pub trait Encoder {
    /// Appends the one record of `change` to `out`. Records of a run are joined as they are, so each must end in a way
    /// that lets the next begin.
    fn encode(&mut self, change: &Change<'_>, out: &mut Vec<u8>);

    /// Whether it makes no records, so that nothing is looked up for them.
    fn is_silent(&self) -> bool {
        false
    }
}

/// Makes no records: for a look without a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRecords;

impl Encoder for NoRecords {
    fn encode(&mut self, _change: &Change<'_>, _out: &mut Vec<u8>) {}

    fn is_silent(&self) -> bool {
        true
    }
}

/// Sees changes and errors as they are found.
pub trait Observer: Sync {
    /// A change was decided. It is stored shortly after.
    fn change(&self, _change: &Change<'_>) {}

    /// A path could not be scanned.
    fn error(&self, _error: &PathError) {}

    /// Whether [`change`](Self::change) does anything; if not, nothing is looked up for it.
    fn wants_changes(&self) -> bool {
        true
    }
}

/// Sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn wants_changes(&self) -> bool {
        false
    }
}
