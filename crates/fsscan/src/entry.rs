//! What is remembered of a file, and what of it can change.

/// What kind of thing a path names. Directories are containers, not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A symbolic link that is not followed.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// Something that this version does not know.
    Other,
}

/// The bits of a mode that hold the kind.
pub(crate) const KIND_MASK: u32 = 0o170_000;
/// The kind bits of a regular file.
pub(crate) const KIND_FILE: u32 = 0o100_000;
/// The kind bits of a symbolic link.
pub(crate) const KIND_SYMLINK: u32 = 0o120_000;
/// The kind bits of a directory.
pub(crate) const KIND_DIRECTORY: u32 = 0o040_000;

/// The metadata of a file as it is stored and compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `st_mode`: kind and permission bits.
    pub mode: u32,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Last change of the metadata, in nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Birth, in nanoseconds since the epoch; 0 where the file system does not know it.
    pub btime_ns: i64,
    /// Inode.
    pub inode: u64,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// 0 on the volume of the root, whose device number may differ after a restart; else a number of the volume.
    pub volume: u64,
}

impl Entry {
    /// Its kind.
    pub fn kind(&self) -> FileKind {
        match self.mode & KIND_MASK {
            KIND_FILE => FileKind::File,
            KIND_SYMLINK => FileKind::Symlink,
            0o010_000 => FileKind::Fifo,
            0o140_000 => FileKind::Socket,
            0o060_000 => FileKind::BlockDevice,
            0o020_000 => FileKind::CharDevice,
            _ => FileKind::Other,
        }
    }

    /// Its permission bits, with set-user-id, set-group-id and sticky.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// What differs between this, the older, and `newer`.
    pub fn changed(&self, newer: &Self) -> Changed {
        let mut changed = Changed::default();
        changed.set(Changed::SIZE, self.size != newer.size);
        changed.set(Changed::MTIME, self.mtime_ns != newer.mtime_ns);
        changed.set(Changed::CTIME, self.ctime_ns != newer.ctime_ns);
        changed.set(Changed::MODE, self.permissions() != newer.permissions());
        changed.set(Changed::OWNER, (self.uid, self.gid) != (newer.uid, newer.gid));
        changed.set(Changed::IDENTITY, !self.is_same_file(newer));
        changed.set(Changed::TYPE, self.mode & KIND_MASK != newer.mode & KIND_MASK);
        changed
    }

    fn is_same_file(&self, other: &Self) -> bool {
        (self.inode, self.btime_ns, self.volume) == (other.inode, other.btime_ns, other.volume)
    }
}

/// What an update changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Changed(u8);

impl Changed {
    /// The length.
    pub const SIZE: Self = Self(1);
    /// The time of the last change of the content.
    pub const MTIME: Self = Self(1 << 1);
    /// The time of the last change of the metadata.
    pub const CTIME: Self = Self(1 << 2);
    /// The permission bits.
    pub const MODE: Self = Self(1 << 3);
    /// Owner or group.
    pub const OWNER: Self = Self(1 << 4);
    /// Volume, inode or birth time: it is another file.
    pub const IDENTITY: Self = Self(1 << 5);
    /// The kind.
    pub const TYPE: Self = Self(1 << 6);
    /// The content, by its hash.
    pub const CONTENT: Self = Self(1 << 7);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::SIZE, "size"),
        (Self::MTIME, "mtime"),
        (Self::CTIME, "ctime"),
        (Self::MODE, "mode"),
        (Self::OWNER, "owner"),
        (Self::IDENTITY, "identity"),
        (Self::TYPE, "type"),
        (Self::CONTENT, "content"),
    ];

    /// Whether nothing changed.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` changed.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` changed.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This without `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The names of what changed, in the order of the constants.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(bit, _)| self.contains(*bit))
            .map(|(_, name)| name)
    }

    pub(crate) fn set(&mut self, bit: Self, on: bool) {
        if on {
            self.0 |= bit.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chmod_is_named() {
        let old = Entry {
            mode: 0o100_644,
            ..Entry::default()
        };
        let new = Entry {
            mode: 0o100_600,
            ctime_ns: 1,
            ..old
        };
        assert_eq!(old.changed(&new).names().collect::<Vec<_>>(), ["ctime", "mode"]);
        assert!(old.changed(&old).is_empty());
    }
}
