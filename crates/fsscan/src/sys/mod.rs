//! What differs between systems: opening, listing and looking at files.
//!
//! On Linux everything happens relative to directory descriptors, so that no path is ever resolved through a link that
//! somebody put there meanwhile. Elsewhere paths have to do.
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(
    target_os = "linux",
    expect(dead_code, reason = "here only the oracle of what the quick walk sees")
)]
mod portable;

#[cfg(all(feature = "watch", target_os = "linux"))]
pub(crate) use linux::look_by_path;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Buffer, Handle, Place, canonical, duplicate, file_system_type, follow, is_empty, is_link, is_no_file, list, look,
    look_at, open_beneath, open_file, open_place, open_root, volume,
};
#[cfg(all(feature = "watch", not(target_os = "linux")))]
pub(crate) use portable::look_by_path;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{
    Buffer, Handle, Place, canonical, duplicate, file_system_type, follow, is_empty, is_link, is_no_file, list, look,
    look_at, open_beneath, open_file, open_place, open_root, volume,
};

use crate::entry::Entry;
use core_model::RootIdentity;
use std::{borrow::Cow, io, path::Path};

/// What a directory says of a name without looking at the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Directory,
    Symlink,
    Other,
    Unknown,
}

/// A file as it was looked at. `entry.volume` is left 0 for the caller, who knows the root's device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) entry: Entry,
    pub(crate) device: u64,
    pub(crate) links: u32,
    pub(crate) allocated: u64,
}

/// An opened root.
#[derive(Debug)]
pub(crate) struct OpenRoot<H = Handle> {
    pub(crate) handle: H,
    pub(crate) identity: RootIdentity,
}

/// What a link leads to, opened so that it cannot change any more.
pub(crate) struct Followed<P = Place> {
    pub(crate) target: P,
    pub(crate) look: Look,
}

/// A path of raw bytes, as this system has them.
#[cfg(unix)]
pub(crate) fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// A path of raw bytes, as this system has them. Names that are not Unicode have no path here.
#[cfg(not(unix))]
pub(crate) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(std::str::from_utf8(bytes).unwrap_or_default())
}

/// The raw bytes of a path, with `/` between names.
#[cfg(unix)]
pub(crate) fn bytes_of(path: &Path) -> Cow<'_, [u8]> {
    use std::os::unix::ffi::OsStrExt;
    Cow::Borrowed(path.as_os_str().as_bytes())
}

/// The raw bytes of a path, with `/` between names.
#[cfg(not(unix))]
pub(crate) fn bytes_of(path: &Path) -> Cow<'_, [u8]> {
    Cow::Owned(path.to_string_lossy().replace('\\', "/").into_bytes())
}

/// Whether an error says that the file is not, or no longer, what was wanted: it vanished or was replaced.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || is_link(error)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, fs, os::unix};

    /// The quick walk and the portable one must see the same.
    #[test]
    fn both_walks_see_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for (name, length) in [("a", 0), ("new\nline", 10), ("z".repeat(255).as_str(), 100_000)] {
            fs::write(at(name), vec![1; length]).unwrap();
        }
        fs::write(dir.path().join(path_of(b"\xff\xfe")), "x").unwrap();
        fs::hard_link(at("a"), at("b")).unwrap();
        unix::fs::symlink("nowhere", at("link")).unwrap();
        let _socket = unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::File::create(at("sparse")).unwrap().set_len(1 << 20).unwrap();

        let mut quick = BTreeMap::new();
        let root = open_root(dir.path()).unwrap();
        list(&root.handle, &mut Buffer::default(), &mut |name, hint, _| {
            quick.insert(name.to_vec(), (hint, look(&root.handle, &zero_ended(name)).unwrap()));
        })
        .unwrap();
        let mut portable = BTreeMap::new();
        let root = portable::open_root(dir.path()).unwrap();
        portable::list(&root.handle, &mut portable::Buffer, &mut |name, hint, _| {
            portable.insert(
                name.to_vec(),
                (hint, portable::look(&root.handle, &zero_ended(name)).unwrap()),
            );
        })
        .unwrap();
        assert_eq!(quick, portable);
        assert_eq!(quick.len(), 9);
    }

    fn zero_ended(name: &[u8]) -> Vec<u8> {
        [name, b"\0"].concat()
    }
}
