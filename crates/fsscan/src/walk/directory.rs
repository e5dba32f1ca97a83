//! A directory as a visitor sees it.
use super::{
    FileStat, KeptDir, LeftOut, OpenFileError,
    file::{self, Place},
};
use crate::{
    entry::FileKind,
    listing::{Here, Listing},
    sys,
};
use std::{fs::File, io};

/// The file system that a directory lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// A number of the volume: made from its UUID where the file system does so, else from the device. Other than a
    /// device number it mostly stays when the machine restarts.
    pub volume: u64,
    /// Its type: `f_type` of statfs(2), 0 where it is not known.
    pub kind: u64,
}

impl FileSystem {
    /// Types whose times show each change of a content (ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, JFS, and overlays,
    /// which mostly lie on one of these), or that cannot be written at all (SquashFS, EROFS, ISO 9660).
    const STAMPING: [u64; 11] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0xf2f5_2010,
        0x2fc1_2fc1,
        0xca45_1a4e,
        0x3153_464a,
        0x794c_7630,
        0x7371_7368,
        0xe0f5_e1e2,
        0x9660,
    ];

    pub(crate) fn of(handle: &sys::Handle, device: u64) -> Self {
        Self {
            volume: sys::volume(handle).unwrap_or(device),
            kind: sys::file_system_type(handle).unwrap_or(0),
        }
    }

    /// Whether size, times and inode of a file show that its content may have changed.
    ///
    /// Not so on tmpfs, where a store through a mapping need not move any time; on network file systems and FUSE, whose
    /// times come from elsewhere and late; and on types that nobody has looked into.
    pub fn shows_changes(&self) -> bool {
        Self::STAMPING.contains(&(self.kind & 0xffff_ffff))
    }
}

/// A regular file that no rule leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkedFile<'d> {
    /// Its name, as raw bytes.
    pub name: &'d [u8],
    /// How it looked when the directory was listed; where a link was followed, what that leads to.
    pub stat: FileStat,
}

/// A directory that was listed, and a handle of it.
pub struct Directory<'w> {
    pub(super) root: usize,
    pub(super) path: &'w [u8],
    pub(super) place: Place,
    pub(super) here: &'w Here<'w, 'w, ()>,
    pub(super) listing: &'w Listing,
}

impl<'w> Directory<'w> {
    /// The place of its root in [`WalkRequest::roots`](super::WalkRequest::roots).
    pub fn root(&self) -> usize {
        self.root
    }

    /// Its path, as raw bytes.
    pub fn path(&self) -> &'w [u8] {
        self.path
    }

    /// Its path relative to the root; empty for the root.
    pub fn relative(&self) -> &'w [u8] {
        self.here.relative
    }

    /// The path of a name in it.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(self.path);
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// The file system it lies on.
    pub fn file_system(&self) -> FileSystem {
        self.place.file_system
    }

    /// Its device number, which may be dealt anew when the machine restarts.
    pub fn device(&self) -> u64 {
        self.place.device
    }

    /// Its inode, which stays when it is renamed.
    pub fn inode(&self) -> u64 {
        self.place.inode
    }

    /// The regular files that no rule leaves out, by name.
    pub fn files(&self) -> impl Iterator<Item = WalkedFile<'w>> + use<'w> {
        self.listing
            .files()
            .filter(|(_, file)| !file.kept && file.look.entry.kind() == FileKind::File)
            .map(|(name, file)| WalkedFile {
                name,
                stat: FileStat::from(&file.look),
            })
    }

    /// Everything else that was met in it but the directories that are walked, in no order. Together with the files,
    /// each name comes once.
    pub fn left_out(&self) -> impl Iterator<Item = LeftOut<'w>> + use<'w> {
        let (here, rules) = (self.here, self.listing.rules.as_ref());
        let unvisited = self
            .listing
            .files()
            .filter(|(_, file)| !file.kept && file.look.entry.kind() != FileKind::File)
            .map(|(name, file)| LeftOut::other(name, &file.look));
        let left = self.listing.left();
        left.map(move |(name, left)| LeftOut::of(here, rules, name, left))
            .chain(unvisited)
    }

    /// Opens one of its files for reading, without moving its access time where that is permitted, and makes sure that
    /// it is the file that was listed, unchanged. A link is not followed, or out of the root never.
    ///
    /// # Errors
    /// See [`OpenFileError`].
    pub fn open(&self, listed: &WalkedFile<'_>) -> Result<File, OpenFileError> {
        file::open(
            self.here.handle,
            self.here.root.canonical.as_deref(),
            listed.name,
            &listed.stat,
        )
    }

    /// A handle that outlives the visit, for whoever opens a file again or acts on it later. It holds a descriptor.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn keep(&self) -> io::Result<KeptDir> {
        let handle = sys::duplicate(self.here.handle)?;
        Ok(KeptDir::new(handle, self.here.root.canonical.clone(), self.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_systems_that_were_looked_into_are_said_to_show_changes() {
        let shows = |kind| FileSystem { volume: 1, kind }.shows_changes();
        let (ext4, btrfs, overlay) = (0xef53, 0x9123_683e, 0x794c_7630);
        assert!(shows(ext4) && shows(btrfs) && shows(overlay));
        // Where the system has 32 bits for it, the type comes with its sign.
        assert!(shows(0xffff_ffff_9123_683e));
        let (tmpfs, nfs, fuse, smb2, vfat) = (0x0102_1994, 0x6969, 0x6573_5546, 0xfe53_4d42, 0x4d44);
        assert!(![tmpfs, nfs, fuse, smb2, vfat, 0].into_iter().any(shows));
    }
}
