//! What dead processes left behind is put in order.
//!
//! Nothing here is as sure of a file as a descriptor: what is removed is either in a directory that only this program
//! uses, or is a copy of what is still there. Device numbers are not compared, for they may change with a restart.
use super::{
    Failed, ItemError, ItemId, Manifest,
    checks::is_ours,
    manifest::is_name,
    place,
    restore::Intent,
    seal,
    stamp::Stamp,
    store::{Part, Store},
    take::{CAPTURED, trap_name},
};
use rustix::fs::AtFlags;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
};

/// What became of the original of an item whose removal was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Original {
    Gone,
    /// Where it was, with the same content.
    InPlace,
    /// Where it was cannot be reached, or was not given back.
    Unknown,
}

/// Puts everything in order, unless others are at work. What cannot be is left for the next time.
pub(super) fn recover(store: &Store) -> Result<(), Failed> {
    let Some(_alone) = store.hold_alone()? else {
        return Ok(());
    };
    let mut items: BTreeMap<ItemId, Vec<Part>> = BTreeMap::new();
    for (id, part) in store.parts()? {
        items.entry(id).or_default().push(part);
    }
    for (id, parts) in items {
        if let Err(error) = recover_item(store, &id, &parts) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%id, error, "an item of the quarantine could not be put in order");
        }
    }
    Ok(())
}

fn recover_item(store: &Store, id: &ItemId, parts: &[Part]) -> Result<(), ItemError> {
    let has = |part| parts.contains(&part);
    // Without a manifest there is no item: it was not complete yet, or is about to be forgotten.
    if !has(Part::Manifest) && !has(Part::Removing) {
        return Ok(store.forget(id)?);
    }
    if has(Part::Draft) {
        store.remove(id, Part::Draft)?;
    }
    if has(Part::Removing) {
        let manifest = store.item(id)?.manifest;
        let original = settle(&manifest).unwrap_or_else(|error| {
            let path = String::from_utf8_lossy(manifest.path.bytes());
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%id, %path, error, "whether a file that was taken away is gone could not be seen");
            Original::Unknown
        });
        match original {
            Original::Gone => store.turn(id, Part::Removing, Part::Manifest)?,
            Original::InPlace => return Ok(store.forget(id)?),
            Original::Unknown => {}
        }
    }
    if has(Part::Restoring) {
        recover_restoring(store, id)?;
    }
    Ok(())
}

/// Finishes the removal of an original where it had begun.
fn settle(manifest: &Manifest) -> io::Result<Original> {
    let dir = place::open_absolute(&manifest.directory.to_path())?;
    let trap_name = trap_name(&manifest.id);
    match place::open_beneath(&dir, Path::new(OsStr::from_bytes(&trap_name))) {
        Ok(trap) if is_ours(&trap)? => {
            if !empty_trap(manifest, &dir, &trap)? {
                return Ok(Original::Unknown);
            }
            rustix::fs::unlinkat(&dir, &trap_name, AtFlags::REMOVEDIR)?;
            place::sync(&dir)?;
        }
        // Somebody else's, or none.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let named = match Stamp::look(&dir, manifest.name.bytes()) {
        Ok(named) => named,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Original::Gone),
        Err(error) => return Err(error),
    };
    if !is_original(manifest, &named) {
        return Ok(Original::Gone);
    }
    // Only what has the same content makes the copy needless.
    let mut file = place::open_file(&dir, manifest.name.bytes())?.take(manifest.size + 1);
    let is_same = seal::sha256(&mut file)? == manifest.sha256;
    Ok(if is_same { Original::InPlace } else { Original::Gone })
}

/// Removes the original from the directory that it was caught in, or gives back what is not the original. `false` when
/// that cannot be.
fn empty_trap(manifest: &Manifest, dir: &OwnedFd, trap: &OwnedFd) -> io::Result<bool> {
    let captured = match Stamp::look(trap, CAPTURED) {
        Ok(captured) => captured,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    if is_original(manifest, &captured) {
        place::remove(trap, CAPTURED)?;
    } else if let Err(error) = place::move_to_free_name(trap, CAPTURED, dir, manifest.name.bytes()) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        let at = place::join(
            &place::join(&manifest.directory.to_path(), &trap_name(&manifest.id)),
            CAPTURED,
        );
        tracing::error!(id = %manifest.id, at = %at.display(), "a file lies where it does not belong: move it back by hand");
        return Ok(false);
    }
    place::sync(trap)?;
    Ok(true)
}

fn is_original(manifest: &Manifest, stamp: &Stamp) -> bool {
    let original = (manifest.inode, manifest.size, manifest.attributes.mtime);
    stamp.is_file() && (stamp.inode, stamp.size, stamp.mtime) == original
}

/// Forgets an item that is back where it belongs, or removes the half of a file that was about to be.
fn recover_restoring(store: &Store, id: &ItemId) -> Result<(), ItemError> {
    let name = Part::Restoring.name(id);
    let path = store.path_of(&name);
    let mut bytes = Vec::new();
    place::open_file(&store.dir, &name)
        .and_then(|file| file.take(1 << 20).read_to_end(&mut bytes))
        .map_err(Failed::to("read", &path))?;
    let intent: Intent = serde_json::from_slice(&bytes).map_err(Failed::to("read", &path))?;
    if ![&intent.name, &intent.temporary]
        .iter()
        .all(|name| is_name(name.bytes()))
    {
        return Err(Failed::to("read", &path)(io::Error::from(io::ErrorKind::InvalidData)).into());
    }
    let directory = intent.directory.to_path();
    let failed = |error| Failed::to("look into", &directory)(error);
    let dir = place::open_absolute(&directory).map_err(failed)?;
    let is_back = is_back(&intent, &dir).map_err(failed)?;
    place::remove(&dir, intent.temporary.bytes()).map_err(failed)?;
    place::sync(&dir).map_err(failed)?;
    if is_back {
        return Ok(store.forget(id)?);
    }
    store.remove(id, Part::Restoring)?;
    Ok(store.sync()?)
}

/// Whether the file has the name that it was to have.
fn is_back(intent: &Intent, dir: &OwnedFd) -> io::Result<bool> {
    let Some(announced) = &intent.announced else {
        return Ok(false);
    };
    match Stamp::look(dir, intent.name.bytes()) {
        Ok(named) => {
            let told = (announced.inode, announced.size, announced.mtime);
            Ok(named.is_file() && (named.inode, named.size, named.mtime) == told)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
