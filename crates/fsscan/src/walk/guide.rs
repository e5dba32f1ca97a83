//! What a walk does with a directory: shows it to the visitor of its thread.
use super::{Directory, Enter, Entering, FileSystem, NotWalked, Reason, Visitor, WalkRequest, file::Place};
use crate::{
    context::Ground,
    listing::{Here, Listing, Wanted},
    summary::{ErrorKind, PathError},
    walker::{Over, Steps, Way},
};
use std::{
    collections::BTreeMap,
    mem,
    sync::atomic::{AtomicU64, Ordering},
};

/// What one thread saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) dirs: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
    pub(crate) first_errors: Vec<PathError>,
}

/// One thread's visitor, and what leads it.
pub(crate) struct Guide<'c, 'a, V> {
    ground: &'c Ground<'a, ()>,
    request: &'c WalkRequest,
    visitor: V,
    /// The directory's path.
    path: Vec<u8>,
    /// The file systems met, by device: few, and mostly the last one.
    file_systems: Vec<(u64, FileSystem)>,
    /// How many errors the summary still has room for, in all threads.
    room: &'c AtomicU64,
    seen: Seen,
}

impl<'c, 'a, V: Visitor> Guide<'c, 'a, V> {
    pub(crate) fn new(ground: &'c Ground<'a, ()>, request: &'c WalkRequest, visitor: V, room: &'c AtomicU64) -> Self {
        Self {
            ground,
            request,
            visitor,
            path: Vec::new(),
            file_systems: Vec::new(),
            room,
            seen: Seen::default(),
        }
    }

    /// The visitor, and what it was shown.
    pub(crate) fn into_parts(self) -> (V, Seen) {
        (self.visitor, self.seen)
    }

    /// The root's place in the request.
    fn root(&self, way: &Way<'_, ()>) -> usize {
        self.ground.roots[way.root].id.0 as usize
    }

    fn error(&mut self, error: PathError) {
        self.visitor.error(&error);
        *self.seen.errors.entry(error.kind).or_default() += 1;
        let take = |room: u64| room.checked_sub(1);
        if self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            self.seen.first_errors.push(error);
        }
    }

    fn not_walked(&mut self, way: &Way<'_, ()>, reason: Reason) {
        self.visitor.not_walked(&NotWalked {
            root: self.ground.roots[way.root].id.0 as usize,
            path: &self.path,
            reason,
        });
    }

    fn file_system(&mut self, here: &Here<'_, '_, ()>, device: u64) -> FileSystem {
        if let Some((_, known)) = self.file_systems.iter().rev().find(|(known, _)| *known == device) {
            return *known;
        }
        let found = FileSystem::of(here.handle, device);
        self.file_systems.push((device, found));
        found
    }
}

impl<V: Visitor> Steps for Guide<'_, '_, V> {
    type Note = ();
    type Before = Enter;
    const LOOKS: bool = true;

    fn before(&mut self, way: &Way<'_, ()>) -> Option<(Enter, Wanted)> {
        self.ground.roots[way.root].write_path(way.relative, &mut self.path);
        let entering = Entering {
            root: self.root(way),
            path: &self.path,
            relative: way.relative,
        };
        match self.visitor.enter(&entering) {
            Enter::Visit => Some((Enter::Visit, Wanted::Everything)),
            Enter::Through => Some((Enter::Through, Wanted::Directories)),
            Enter::Skip => None,
        }
    }

    fn elsewhere(&mut self, way: &Way<'_, ()>) -> Result<(), Over> {
        self.request.progress.ignored.fetch_add(1, Ordering::Relaxed);
        self.not_walked(way, Reason::OtherFileSystem);
        Ok(())
    }

    fn failed(&mut self, way: &Way<'_, ()>, _enter: Enter, error: PathError) -> Result<(), Over> {
        let reason = Reason::Unreadable(error.kind);
        self.error(error);
        self.not_walked(way, reason);
        Ok(())
    }

    fn listed(
        &mut self,
        way: &Way<'_, ()>,
        enter: Enter,
        here: &Here<'_, '_, ()>,
        listing: &mut Listing,
    ) -> Result<(), Over> {
        for error in mem::take(&mut listing.errors) {
            self.error(error);
        }
        if enter != Enter::Visit {
            return Ok(());
        }
        let (device, inode) = here.place.unwrap_or_default();
        let file_system = self.file_system(here, device);
        let dir = Directory {
            root: self.root(way),
            path: &self.path,
            place: Place {
                file_system,
                device,
                inode,
            },
            here,
            listing,
        };
        let (files, bytes) = dir.files().fold((0, 0_u64), |(files, bytes), file| {
            (files + 1, bytes.saturating_add(file.stat.size))
        });
        self.seen.dirs += 1;
        self.seen.files += files;
        self.seen.bytes = self.seen.bytes.saturating_add(bytes);
        here.root.files.fetch_add(files, Ordering::Relaxed);
        here.root.bytes.fetch_add(bytes, Ordering::Relaxed);
        let progress = &self.request.progress;
        progress.dirs.fetch_add(1, Ordering::Relaxed);
        progress.files.fetch_add(files, Ordering::Relaxed);
        progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        progress.ignored.fetch_add(listing.ignored, Ordering::Relaxed);
        self.visitor.directory(&dir);
        Ok(())
    }
}
