//! Every known directory in about 48 bytes: how to find it, its digest, and what this scan saw of it.
use core_model::{Digest, DirId, KnownTree, RootId};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::atomic::{AtomicU8, Ordering},
};

/// The place of a directory in the table.
pub(crate) type Place = u32;
const NOWHERE: Place = Place::MAX;

const SEEN: u8 = 1;
const LISTED: u8 = 2;

struct Known {
    id: u64,
    /// Hash of the name under the parent's place, by a key of this process. Its 64 bits are compared among the
    /// children of one directory only.
    key: u64,
    digest: [u8; 16],
    parent: Place,
    root: u32,
    state: AtomicU8,
}

/// The known directories, by rising number, so that parents stand before their children.
pub(crate) struct Table {
    dirs: Vec<Known>,
    /// Open addressing over `dirs`, a power of two long and at most three quarters full.
    slots: Vec<Place>,
    hasher: RandomState,
}

impl Table {
    pub(crate) fn load<T: KnownTree>(tree: &T) -> Result<Self, T::Error> {
        let hasher = RandomState::new();
        let mut dirs: Vec<Known> = Vec::new();
        tree.directories(&mut |dir| {
            let parent = match dir.parent {
                None => NOWHERE,
                // A directory without its parent can be left by nothing but damage; the scan finds it anew.
                Some(parent) => match dirs.binary_search_by_key(&parent.0, |known| known.id) {
                    Ok(place) => place as Place,
                    Err(_) => return,
                },
            };
            dirs.push(Known {
                id: dir.id.0,
                key: hasher.hash_one((parent, dir.root.0, dir.name)),
                digest: dir.digest.0,
                parent,
                root: dir.root.0,
                state: AtomicU8::new(0),
            });
        })?;
        dirs.shrink_to_fit();
        let mut slots = vec![NOWHERE; (dirs.len() * 4 / 3 + 1).next_power_of_two()];
        for (place, dir) in dirs.iter().enumerate() {
            let mut slot = dir.key as usize & (slots.len() - 1);
            while slots[slot] != NOWHERE {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = place as Place;
        }
        Ok(Self { dirs, slots, hasher })
    }

    fn find_by(&self, parent: Place, root: u32, name: &[u8]) -> Option<Place> {
        let key = self.hasher.hash_one((parent, root, name));
        let mut slot = key as usize & (self.slots.len() - 1);
        loop {
            let place = self.slots[slot];
            let dir = self.dirs.get(place as usize)?;
            if dir.key == key && dir.parent == parent && dir.root == root {
                return Some(place);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    pub(crate) fn root(&self, root: RootId) -> Option<Place> {
        self.find_by(NOWHERE, root.0, b"")
    }

    pub(crate) fn child(&self, parent: Place, name: &[u8]) -> Option<Place> {
        self.find_by(parent, self.dirs[parent as usize].root, name)
    }

    pub(crate) fn id(&self, place: Place) -> DirId {
        DirId(self.dirs[place as usize].id)
    }

    pub(crate) fn digest(&self, place: Place) -> Digest {
        Digest(self.dirs[place as usize].digest)
    }

    pub(crate) fn parent(&self, place: Place) -> Option<Place> {
        let parent = self.dirs[place as usize].parent;
        (parent != NOWHERE).then_some(parent)
    }

    pub(crate) fn root_of(&self, place: Place) -> RootId {
        RootId(self.dirs[place as usize].root)
    }

    pub(crate) fn place(&self, id: DirId) -> Option<Place> {
        let found = self.dirs.binary_search_by_key(&id.0, |known| known.id);
        found.ok().map(|place| place as Place)
    }

    /// The first number that is free.
    pub(crate) fn next_id(&self) -> u64 {
        self.dirs.last().map_or(1, |dir| dir.id + 1)
    }

    /// The directory is there. Whether it could be listed shows later.
    pub(crate) fn mark_seen(&self, place: Place) {
        self.dirs[place as usize].state.fetch_or(SEEN, Ordering::Relaxed);
    }

    /// The directory was listed to its end.
    pub(crate) fn mark_listed(&self, place: Place) {
        self.dirs[place as usize]
            .state
            .fetch_or(SEEN | LISTED, Ordering::Relaxed);
    }

    /// Which directories of the roots for which `counts` holds are gone, by place: those not seen in a parent that was
    /// listed, and everything below. What lies under a directory that could not be listed stays.
    pub(crate) fn gone(&self, counts: impl Fn(RootId) -> bool, top_is_gone: impl Fn(RootId) -> bool) -> Vec<Place> {
        let mut gone = Vec::new();
        let mut is_gone = vec![false; self.dirs.len()];
        for (place, dir) in self.dirs.iter().enumerate() {
            let state = dir.state.load(Ordering::Relaxed);
            let root = RootId(dir.root);
            if state & SEEN != 0 || !counts(root) {
                continue;
            }
            let parent_is = match self.dirs.get(dir.parent as usize) {
                None => top_is_gone(root),
                Some(parent) => is_gone[dir.parent as usize] || parent.state.load(Ordering::Relaxed) & LISTED != 0,
            };
            if parent_is {
                is_gone[place] = true;
                gone.push(place as Place);
            }
        }
        gone
    }
}
