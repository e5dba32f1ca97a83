//! An item is brought back, step by step: complete under another name first, then under its own, then out of the store.
use super::{
    Failed, ItemId, Manifest, Missing, Raw, RestoreError, place,
    seal::{self, PassError},
    stamp::{FileTime, Stamp},
    store::{Claimed, Held, Part, Store},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

/// Where to, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target<'a> {
    /// Where to; where it was by default. Links in it are followed, but for the last name.
    pub(crate) to: Option<&'a Path>,
    /// Over a file that is there.
    pub(crate) force: bool,
}

/// What was brought back.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Restored {
    pub(crate) id: ItemId,
    /// Where it is now.
    pub(crate) path: Raw,
    /// What of it is not as it was, but for its ctime.
    pub(crate) missing: Vec<Missing>,
}

/// What is done after one another. After each, the process may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The store knows where the file is about to be.
    Intend,
    /// There is an empty file under another name.
    Create,
    /// It has the content.
    Fill,
    /// It has owner, mode, times and extended attributes, and is on the disk.
    Dress,
    /// The store knows how to tell it.
    Announce,
    /// It has its name.
    Place,
    /// The store has forgotten it.
    Forget,
}

pub(super) const STEPS: [Step; 7] = [
    Step::Intend,
    Step::Create,
    Step::Fill,
    Step::Dress,
    Step::Announce,
    Step::Place,
    Step::Forget,
];

/// What the store knows of a file about to be brought back.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intent {
    pub(super) directory: Raw,
    pub(super) name: Raw,
    /// Its name until it is complete.
    pub(super) temporary: Raw,
    pub(super) announced: Option<Announced>,
}

/// How to tell the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Announced {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mtime: FileTime,
}

pub(super) fn restore(store: &Store, id: &ItemId, target: &Target<'_>) -> Result<Restored, RestoreError> {
    let mut restoring = Restoring::prepare(store, id, target)?;
    for step in STEPS {
        if let Err(error) = restoring.step(step) {
            return Err(restoring.undo(error));
        }
    }
    Ok(restoring.restored())
}

/// Writes the content of an item, and checks it.
pub(super) fn content(
    store: &Store,
    manifest: &Manifest,
    out: &mut dyn io::Write,
    out_path: &Path,
) -> Result<(), RestoreError> {
    let name = Part::Data.name(&manifest.id);
    let path = store.path_of(&name);
    let mut sealed = place::open_file(&store.dir, &name).map_err(Failed::to("open", &path))?;
    let passed = seal::open(&store.key, &manifest.id, &mut sealed, out).map_err(|error| match error {
        PassError::Read(error) => Failed::to("read", &path)(error).into(),
        PassError::Write(error) => Failed::to("write", out_path)(error).into(),
        PassError::Damaged => RestoreError::Damaged { id: manifest.id },
    })?;
    if (passed.length, &passed.sha256) != (manifest.size, &manifest.sha256) {
        return Err(RestoreError::Damaged { id: manifest.id });
    }
    Ok(())
}

/// A file on its way back.
pub(super) struct Restoring<'a> {
    store: &'a Store,
    _held: Held,
    claimed: Claimed,
    dir: OwnedFd,
    directory: PathBuf,
    name: Vec<u8>,
    force: bool,
    temporary: Vec<u8>,
    file: Option<File>,
    missing: Vec<Missing>,
    is_placed: bool,
}

impl<'a> Restoring<'a> {
    /// Checks all that can be checked before anything is written.
    pub(super) fn prepare(store: &'a Store, id: &ItemId, target: &Target<'_>) -> Result<Self, RestoreError> {
        let held = store.hold()?;
        let claimed = store.claim(id)?;
        let manifest = &claimed.item.manifest;
        let (directory, name, opened) = match target.to {
            Some(path) => {
                let (directory, name) = split(path)?;
                let opened = place::open_named(&directory);
                (directory, name, opened)
            }
            None => {
                let directory = manifest.directory.to_path();
                // The administrator asked for the place that it was taken from: a link there now was made by somebody else.
                let opened = place::open_absolute(&directory);
                (directory, manifest.name.bytes().to_vec(), opened)
            }
        };
        let dir = opened.map_err(|error| no_directory(&directory, error))?;
        let directory = place::whereabouts(&dir).unwrap_or(directory);
        let temporary = ItemId::new(manifest.taken_at).map_err(Failed::to("make a name in", &directory))?;
        let restoring = Self {
            store,
            _held: held,
            claimed,
            dir,
            directory,
            name,
            force: target.force,
            temporary: format!(".reef-agent-{temporary}").into_bytes(),
            file: None,
            missing: Vec::new(),
            is_placed: false,
        };
        restoring.check_free()?;
        Ok(restoring)
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), RestoreError> {
        match step {
            Step::Intend => self.intend(None),
            Step::Create => {
                let file = place::create_new(&self.dir, &self.temporary);
                self.file = Some(file.map_err(Failed::to("make", &self.temporary_path()))?);
                Ok(())
            }
            Step::Fill => self.fill(),
            Step::Dress => self.dress(),
            Step::Announce => self.announce(),
            Step::Place => self.place(),
            Step::Forget => Ok(self.store.forget(self.id())?),
        }
    }

    fn restored(self) -> Restored {
        Restored {
            id: *self.id(),
            path: Raw::of_path(&self.path()),
            missing: self.missing,
        }
    }

    fn id(&self) -> &ItemId {
        &self.claimed.item.manifest.id
    }

    fn path(&self) -> PathBuf {
        place::join(&self.directory, &self.name)
    }

    fn temporary_path(&self) -> PathBuf {
        place::join(&self.directory, &self.temporary)
    }

    fn check_free(&self) -> Result<(), RestoreError> {
        let there = match Stamp::look(&self.dir, &self.name) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failed::to("look at", &self.path())(error).into()),
        };
        let path = self.path();
        if there.is_directory() {
            Err(RestoreError::Directory { path })
        } else if self.force {
            Ok(())
        } else {
            Err(RestoreError::Occupied { path })
        }
    }

    fn intend(&self, announced: Option<Announced>) -> Result<(), RestoreError> {
        let intent = Intent {
            directory: Raw::of_path(&self.directory),
            name: Raw::new(self.name.as_slice()),
            temporary: Raw::new(self.temporary.as_slice()),
            announced,
        };
        let name = Part::Restoring.name(self.id());
        let path = self.store.path_of(&name);
        let bytes = serde_json::to_vec(&intent).map_err(Failed::to("write", &path))?;
        let draft = Part::Draft.name(self.id());
        place::remove(&self.store.dir, &draft)
            .and_then(|()| self.store.write_new(&draft, &bytes))
            .and_then(|()| Ok(rustix::fs::renameat(&self.store.dir, &draft, &self.store.dir, &name)?))
            .map_err(|error| {
                place::remove(&self.store.dir, &draft).ok();
                Failed::to("write", &path)(error)
            })?;
        Ok(self.store.sync()?)
    }

    fn fill(&mut self) -> Result<(), RestoreError> {
        let path = self.temporary_path();
        let Some(file) = &mut self.file else { return Ok(()) };
        content(self.store, &self.claimed.item.manifest, file, &path)
    }

    fn dress(&mut self) -> Result<(), RestoreError> {
        let path = self.temporary_path();
        let Some(file) = &self.file else { return Ok(()) };
        let put = self.claimed.item.manifest.attributes.put_on(file);
        self.missing = put.map_err(Failed::to("put the attributes on", &path))?;
        file.sync_all().map_err(Failed::to("write", &path))?;
        Ok(())
    }

    fn announce(&mut self) -> Result<(), RestoreError> {
        let stamp = self.stamp()?;
        self.intend(Some(Announced {
            inode: stamp.inode,
            size: stamp.size,
            mtime: stamp.mtime,
        }))
    }

    fn stamp(&self) -> Result<Stamp, RestoreError> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let stamp = self.file.as_ref().ok_or_else(missing).and_then(Stamp::of);
        Ok(stamp.map_err(Failed::to("look at", &self.temporary_path()))?)
    }

    fn place(&mut self) -> Result<(), RestoreError> {
        let path = self.path();
        self.check_free()?;
        let placed = if self.force {
            rustix::fs::renameat(&self.dir, &self.temporary, &self.dir, &self.name).map_err(io::Error::from)
        } else {
            place::move_to_free_name(&self.dir, &self.temporary, &self.dir, &self.name)
        };
        placed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RestoreError::Occupied { path: path.clone() },
            _ => Failed::to("rename a file to", &path)(error).into(),
        })?;
        // Whoever may write in the directory can have put something else under the other name.
        let named = Stamp::look(&self.dir, &self.name).map_err(Failed::to("look at", &path))?;
        if !named.is_same_file(&self.stamp()?) {
            return Err(RestoreError::Replaced { path });
        }
        self.is_placed = true;
        place::sync(&self.dir).map_err(Failed::to("write", &self.directory))?;
        Ok(())
    }

    /// Takes back all that was done. What is placed stays: the file is there, and the item is put in order later.
    fn undo(&self, error: RestoreError) -> RestoreError {
        if self.is_placed {
            return error;
        }
        let removed = match &self.file {
            Some(_) => place::remove(&self.dir, &self.temporary).map_err(Failed::to("remove", &self.temporary_path())),
            None => Ok(()),
        };
        let forgotten = removed.and_then(|()| self.store.remove(self.id(), Part::Restoring));
        if let Err(error) = forgotten.and_then(|()| self.store.sync()) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(id = %self.id(), error, "what is left of a file that was not restored stays until the next start");
        }
        error
    }
}

/// The directory and the last name of a path that somebody wrote.
fn split(path: &Path) -> Result<(PathBuf, Vec<u8>), RestoreError> {
    let no_name = || RestoreError::NoName { path: path.to_owned() };
    let absolute = std::path::absolute(path).map_err(|_| no_name())?;
    let (Some(directory), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(no_name());
    };
    // `dir/` and `dir/.` name a directory.
    if !path.as_os_str().as_bytes().ends_with(name.as_bytes()) {
        return Err(no_name());
    }
    Ok((directory.to_owned(), name.as_bytes().to_vec()))
}

fn no_directory(path: &Path, error: io::Error) -> RestoreError {
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    if is_link || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        RestoreError::NoDirectory { path: path.to_owned() }
    } else {
        Failed::to("open", path)(error).into()
    }
}
