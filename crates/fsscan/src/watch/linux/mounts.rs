//! What is mounted in and above the roots. The kernel tells when that changes, at no cost until then.
use crate::mounts::{LIST, Mount};
use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
};

/// The mounts of this process, as they were read last.
#[derive(Debug)]
pub(super) struct Mounts {
    file: File,
    known: BTreeSet<Mount>,
}

impl Mounts {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: File::open(LIST)?,
            known: Mount::all()?.into_iter().collect(),
        })
    }

    /// Is an exceptional state of this descriptor while there are changes that were not read.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where something is mounted.
    pub(super) fn points(&self) -> impl Iterator<Item = &[u8]> {
        self.known.iter().map(point)
    }

    /// Where something was mounted or unmounted since this was asked last.
    pub(super) fn changed(&mut self) -> io::Result<BTreeSet<Vec<u8>>> {
        let found: BTreeSet<Mount> = Mount::all()?.into_iter().collect();
        let changed = found.symmetric_difference(&self.known);
        let changed = changed.map(|mount| point(mount).to_vec()).collect();
        self.known = found;
        Ok(changed)
    }
}

fn point(mount: &Mount) -> &[u8] {
    mount.point.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_system_has_a_root() {
        let mut mounts = Mounts::new().unwrap();
        assert!(mounts.points().any(|point| point == b"/"));
        mounts.changed().unwrap();
    }
}
