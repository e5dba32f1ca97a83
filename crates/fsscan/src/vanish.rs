//! Whole directories that are gone: every file in them vanishes, then the directory itself.
use crate::{
    codec::decode_entries,
    context::Facts,
    hashes::decode_hashes,
    out::Out,
    table::{Place, Table},
    writer,
};
use core_model::{KnownTree, RootId, TreeReader};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
};

/// So many directories at a time, which bounds the memory for their names.
const CHUNK: usize = 32 * 1024;

/// What is needed to know of a root.
pub(crate) struct RootFacts {
    /// Its path without a slash at the end.
    pub(crate) prefix: Vec<u8>,
    pub(crate) volume: u64,
}

/// Takes directories away, which come by rising place. Children go first, so that a crash leaves no orphan.
/// Returns false when it was stopped before the end.
pub(crate) fn vanish<T: KnownTree>(
    out: &mut Out<'_, T>,
    table: &Table,
    gone: &[Place],
    roots: &BTreeMap<RootId, RootFacts>,
    has_undecided: bool,
    stop: &AtomicBool,
) -> Result<bool, T::Error> {
    if gone.is_empty() {
        return Ok(true);
    }
    let mut reader = out.tree.reader()?;
    for chunk in gone.rchunks(CHUNK) {
        let names = names(&*out.tree, table, chunk)?;
        for &place in chunk.iter().rev() {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let id = table.id(place);
            let root = table.root_of(place);
            let stored = reader.directory(id)?.unwrap_or_default();
            if let Some(facts) = roots.get(&root) {
                let mut path = facts.prefix.clone();
                path_of(table, place, &names, &mut path);
                let length = path.len();
                let mut hashes = decode_hashes(&stored.hashes).peekable();
                let entries = decode_entries(&stored.entries).into_iter().flatten().flatten();
                for (index, (name, entry)) in (0u64..).zip(entries) {
                    while hashes.next_if(|(at, _)| *at < index).is_some() {}
                    let hash = hashes.next_if(|(at, _)| *at == index).map(|(_, content)| content.hash);
                    path.truncate(length);
                    path.extend_from_slice(name);
                    let mut facts_of = Facts {
                        entry,
                        hash,
                        ..Facts::default()
                    };
                    writer::absolute(&mut facts_of, facts.volume);
                    writer::vanished(out, has_undecided, root, &path, &facts_of)?;
                    out.add_files(root, 0, 1);
                }
            }
            out.remove_dir(id);
            out.commit_if_heavy()?;
        }
        out.commit()?;
    }
    Ok(true)
}

/// The names of directories and of all above them.
fn names<T: KnownTree>(tree: &T, table: &Table, chunk: &[Place]) -> Result<HashMap<Place, Box<[u8]>>, T::Error> {
    let mut wanted: HashSet<Place> = HashSet::new();
    for &place in chunk {
        let mut above = Some(place);
        while let Some(here) = above.filter(|here| wanted.insert(*here)) {
            above = table.parent(here);
        }
    }
    let mut names = HashMap::with_capacity(wanted.len());
    tree.directories(&mut |dir| {
        if let Some(place) = table.place(dir.id).filter(|place| wanted.contains(place)) {
            names.insert(place, dir.name.into());
        }
    })?;
    Ok(names)
}

/// Appends the path of a directory, with a slash at its end.
fn path_of(table: &Table, place: Place, names: &HashMap<Place, Box<[u8]>>, path: &mut Vec<u8>) {
    let mut chain = Vec::new();
    let mut here = Some(place);
    while let Some(place) = here {
        chain.push(place);
        here = table.parent(place);
    }
    for place in chain.iter().rev() {
        path.extend_from_slice(names.get(place).map_or(b"", |name| name));
        path.push(b'/');
    }
}

/// Every directory of a root, by rising place.
pub(crate) fn all_of(table: &Table, root: RootId) -> Vec<Place> {
    table.gone(|other| other == root, |_| true)
}
