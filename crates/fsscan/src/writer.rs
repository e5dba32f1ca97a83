//! Decides what each change means for the server's picture, and lets it be stored.
use crate::{
    Hold,
    context::{Context, Facts, Found, Item, Message, What},
    out::Out,
    summary::{PathError, Summary},
    undecided,
};
use core_model::{DirUpdate, KnownTree, RootId, Side, StoredDir};
use crossbeam_channel::Receiver;

/// What is known before the first directory is walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// No file is known at all, so that nothing can have moved: all are told as created at once.
    pub(crate) is_first: bool,
    /// Files wait from an earlier scan, so that each change must be compared with them.
    pub(crate) has_undecided: bool,
}

/// Takes what the workers find until they are done. Gives back how many of the files seen are not as they were.
pub(crate) fn write<T: KnownTree>(
    out: &mut Out<'_, T>,
    context: &Context<'_>,
    start: Start,
    found: &Receiver<Message<T::Error>>,
    summary: &mut Summary,
) -> Result<u64, T::Error> {
    let mut touched = 0;
    for message in found {
        match message {
            Message::Found(found) => {
                let is_there = |item: &&Item| matches!(item.what, What::Appeared | What::Updated(_));
                touched += found.items.iter().filter(is_there).count() as u64;
                directory(out, context, start, *found)?;
            }
            Message::Error(error) => fault(out, summary, error),
            Message::Failed(error) => return Err(error),
        }
        out.commit_if_heavy()?;
    }
    out.commit()?;
    Ok(touched)
}

/// Counts a path that could not be scanned, and keeps it if it is among the first.
pub(crate) fn fault<T: KnownTree>(out: &Out<'_, T>, summary: &mut Summary, error: PathError) {
    tracing::debug!(path = %error.path.escape_ascii(), detail = error.detail, "a path could not be scanned");
    out.recorder.observer.error(&error);
    *summary.errors.entry(error.kind).or_default() += 1;
    if summary.first_errors.len() < out.recorder.request.first_errors {
        summary.first_errors.push(error);
    }
}

fn directory<T: KnownTree>(
    out: &mut Out<'_, T>,
    context: &Context<'_>,
    start: Start,
    found: Found,
) -> Result<(), T::Error> {
    let root = &context.ground.roots[found.root];
    let (mut more, mut fewer) = (0, 0);
    let mut path = found.path;
    let length = path.len();
    for Item { what, name, mut facts } in found.items {
        path.truncate(length);
        path.extend_from_slice(&found.names[name]);
        absolute(&mut facts, root.volume);
        match what {
            What::Appeared => {
                more += 1;
                appeared(out, start, root.id, &path, &facts)?;
            }
            What::Present => {
                // One that is not decided is told as created or moved by this scan's end.
                if !start.has_undecided || out.tree.undecided_at(&path)?.is_none() {
                    out.present(&path, &facts);
                }
            }
            What::Updated(changed) => {
                if start.has_undecided && out.tree.undecided_at(&path)?.is_some_and(|row| row.side == Side::New) {
                    out.put(path.clone(), root.id, Side::New, &facts);
                } else {
                    out.updated(&path, &facts, changed);
                }
            }
            What::Vanished => {
                fewer += 1;
                vanished(out, start.has_undecided, root.id, &path, &facts)?;
            }
        }
    }
    if !found.is_changed {
        return Ok(());
    }
    out.add_files(root.id, more, fewer);
    out.dir(DirUpdate {
        id: found.id,
        root: root.id,
        parent: found.parent,
        name: found.name.into_vec(),
        digest: found.digest,
        stored: StoredDir {
            entries: found.stored.entries,
            hashes: found.stored.hashes,
        },
    });
    Ok(())
}

/// Makes a volume that counts from its root absolute.
pub(crate) fn absolute(facts: &mut Facts, root_volume: u64) {
    if facts.entry.volume == 0 {
        facts.entry.volume = root_volume;
    }
}

fn appeared<T: KnownTree>(
    out: &mut Out<'_, T>,
    start: Start,
    root: RootId,
    path: &[u8],
    facts: &Facts,
) -> Result<(), T::Error> {
    if start.is_first {
        out.created(path, facts);
        return Ok(());
    }
    let gone = if start.has_undecided {
        out.tree.undecided_at(path)?.filter(|row| row.side == Side::Gone)
    } else {
        None
    };
    match gone {
        None => out.put(path.to_vec(), root, Side::New, facts),
        // The server was never told that it had gone.
        Some(gone) => {
            out.settle(path.to_vec());
            let changed = undecided::unpack(&gone).map(|(gone, _)| undecided::changed(&gone, facts));
            match changed {
                Some(changed) if changed.is_empty() => {}
                Some(changed) => out.updated(path, facts, changed),
                None => out.created(path, facts),
            }
        }
    }
    Ok(())
}

/// Lets a file that is no longer there wait, unless the server was never told that it was.
pub(crate) fn vanished<T: KnownTree>(
    out: &mut Out<'_, T>,
    has_undecided: bool,
    root: RootId,
    path: &[u8],
    facts: &Facts,
) -> Result<(), T::Error> {
    let is_new = has_undecided && out.tree.undecided_at(path)?.is_some_and(|row| row.side == Side::New);
    if is_new {
        out.settle(path.to_vec());
    } else {
        // Its deletion may be held, and then the server must know that it was not left out.
        if out.recorder.request.name_all {
            out.present(path, facts);
        }
        out.put(path.to_vec(), root, Side::Gone, facts);
    }
    Ok(())
}

/// Whether so many deletions in a root of so many files are too many to believe.
pub(crate) fn is_too_many(hold: Hold, gone: u64, files: u64) -> bool {
    gone > hold.min_files && gone as f64 > hold.share * files as f64
}
