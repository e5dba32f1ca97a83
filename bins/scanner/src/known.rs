//! Every file in a state, with its path, without touching the disk that it describes.
use crate::context::Context;
use anyhow::anyhow;
use core_model::{DirId, KnownTree, RootId};
use fsscan::{Entry, KnownContent, decode_entries, decode_hashes};
use state_sqlite::{Database, SqliteTree, StateError};
use std::collections::HashMap;

/// A file of the state.
pub(crate) struct KnownFile<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) entry: Entry,
    pub(crate) content: Option<KnownContent>,
}

/// Calls `each` for every file, a directory at a time; `Ok(false)` ends it.
pub(crate) fn for_each_file(
    database: &Database,
    each: &mut dyn FnMut(&KnownFile<'_>) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let tree = SqliteTree::overlay(database)?;
    let roots: HashMap<RootId, Vec<u8>> = tree.roots()?.into_iter().map(|root| (root.id, root.path)).collect();
    let mut paths: HashMap<DirId, Vec<u8>> = HashMap::new();
    let mut path = Vec::new();
    let walked = tree.for_each_directory(&mut |dir, stored| {
        let own = match dir.parent {
            None => roots.get(&dir.root).cloned().unwrap_or_default(),
            Some(parent) => join(paths.get(&parent).map_or(&[], Vec::as_slice), dir.name),
        };
        let mut contents = decode_hashes(&stored.hashes).peekable();
        for (index, entry) in (0..).zip(decode_entries(&stored.entries).map_err(|e| Ended::Failed(e.into()))?) {
            let (name, entry) = entry.map_err(|error| Ended::Failed(error.into()))?;
            let content = contents.next_if(|(of, _)| *of == index).map(|(_, content)| content);
            path.clear();
            path.extend_from_slice(&own);
            push(&mut path, name);
            if !each(&KnownFile {
                path: &path,
                name,
                entry,
                content,
            })
            .map_err(Ended::Failed)?
            {
                return Err(Ended::Enough);
            }
        }
        paths.insert(dir.id, own);
        Ok(())
    });
    match walked {
        Ok(()) | Err(Ended::Enough) => Ok(()),
        Err(Ended::Failed(error)) => Err(error),
    }
}

enum Ended {
    Enough,
    Failed(anyhow::Error),
}

impl From<StateError> for Ended {
    fn from(error: StateError) -> Self {
        Self::Failed(anyhow!(error))
    }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = parent.to_vec();
    push(&mut path, name);
    path
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// The state and every file in it, for commands that only read.
pub(crate) fn files(
    context: &Context,
    asked: Option<crate::cli::Which>,
    each: &mut dyn FnMut(&KnownFile<'_>) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    for_each_file(&context.open_state(asked)?, each)
}
