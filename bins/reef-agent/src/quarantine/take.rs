//! A file is taken away, step by step, so that it is never lost and never doubled.
use super::{
    Attributes, Failed, Item, ItemId, Manifest, Raw,
    checks::{is_elsewhere, is_ours, open_parent},
    error::{Change, TakeError},
    place,
    seal::{self, PassError},
    stamp::Stamp,
    store::{Held, Part, Store},
};
use chrono::{DateTime, Utc};
use clamd_proto::Verdict;
use rustix::fs::{AtFlags, Mode};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, fs::FileExt as _},
    },
    path::{Path, PathBuf},
};

/// What is to be taken away, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'a> {
    /// The descriptor that was scanned, open for reading. Its position is neither used nor moved.
    pub(crate) file: &'a File,
    /// What [`Stamp::of`] said of it before it was scanned.
    pub(crate) scanned: &'a Stamp,
    /// Its path, absolute.
    pub(crate) path: &'a Path,
    /// An open directory above it, and the path that stands for it in `path`, through links or not. Without one, no
    /// directory in `path` may be a link.
    pub(crate) root: Option<(&'a OwnedFd, &'a Path)>,
    /// Other names of the same file that are known. They are written down, and stay.
    pub(crate) other_names: &'a [PathBuf],
    /// All names that clamd gave for it.
    pub(crate) signatures: &'a [String],
    /// The rule that had it scanned.
    pub(crate) rule: &'a str,
    /// Engine and signature database, as clamd's `VERSION` says them.
    pub(crate) clamd: &'a str,
    /// When the verdict came.
    pub(crate) scanned_at: DateTime<Utc>,
    /// SHA-256 of what was scanned, hexadecimal, where it is known: what is copied must have it, too.
    pub(crate) sha256: Option<&'a str>,
}

impl Taken<'_> {
    pub(super) fn changed(&self, what: Change) -> TakeError {
        let path = self.path.to_owned();
        TakeError::Changed { path, what }
    }
}

/// What is done after one another. After each, the process may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The store knows that an item is being made.
    Mark,
    /// The content is in the store.
    Copy,
    /// The manifest is in the store.
    Describe,
    /// The item is complete.
    Commit,
    /// There is a directory beside the file that nobody else can reach into.
    Trap,
    /// The file is in there, and it is that file.
    Capture,
    /// It is gone.
    Remove,
    /// The directory is gone, and both outlive a loss of power.
    Clear,
    /// The store knows.
    Confirm,
}

pub(super) const STEPS: [Step; 9] = [
    Step::Mark,
    Step::Copy,
    Step::Describe,
    Step::Commit,
    Step::Trap,
    Step::Capture,
    Step::Remove,
    Step::Clear,
    Step::Confirm,
];

/// The name of the file in the trap.
pub(super) const CAPTURED: &[u8] = b"file";

pub(super) fn take(store: &Store, taken: &Taken<'_>, now: DateTime<Utc>) -> Result<Item, TakeError> {
    let mut taking = Taking::prepare(store, taken, now)?;
    for step in STEPS {
        match taking.step(step) {
            Ok(()) => {}
            // It is gone, and the item complete: what is left to do is done when the quarantine is opened next.
            Err(error) if taking.is_removed => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(id = %taking.id, error, "a file was taken away, and what that leaves could not be cleared");
                break;
            }
            Err(error) => return Err(taking.undo(error)),
        }
    }
    taking.item()
}

/// The directory in which the file of an item is removed, beside where it was.
pub(super) fn trap_name(id: &ItemId) -> Vec<u8> {
    format!(".reef-agent-{id}").into_bytes()
}

/// A file on its way into the store.
pub(super) struct Taking<'a> {
    pub(super) store: &'a Store,
    _held: Held,
    pub(super) taken: &'a Taken<'a>,
    id: ItemId,
    now: DateTime<Utc>,
    /// Where it lies.
    pub(super) dir: OwnedFd,
    pub(super) directory: PathBuf,
    pub(super) name: &'a [u8],
    marker: Option<File>,
    sha256: String,
    manifest: Option<Manifest>,
    trap: Option<OwnedFd>,
    has_trap: bool,
    is_captured: bool,
    is_removed: bool,
    is_settled: bool,
}

impl<'a> Taking<'a> {
    /// Checks all that can be checked before anything is written.
    pub(super) fn prepare(store: &'a Store, taken: &'a Taken<'a>, now: DateTime<Utc>) -> Result<Self, TakeError> {
        let path = || taken.path.to_owned();
        if !Verdict::of(taken.signatures.to_vec()).is_infected() {
            return Err(TakeError::NotMalware { path: path() });
        }
        let (Some(parent), Some(name)) = (taken.path.parent(), taken.path.file_name()) else {
            return Err(TakeError::NotAFile { path: path() });
        };
        // A path's last name must be its last bytes: `a/b/.` names a directory, whatever `file_name` says.
        let is_plain = taken.path.as_os_str().as_bytes().ends_with(name.as_bytes());
        if !taken.path.is_absolute() || !taken.scanned.is_file() || !is_plain {
            return Err(TakeError::NotAFile { path: path() });
        }
        let failed = |source| TakeError::Failed { path: path(), source };
        let dir = open_parent(taken.root, parent).map_err(|error| match error.raw_os_error() {
            Some(code) if is_elsewhere(code) => taken.changed(Change::Elsewhere),
            _ if error.kind() == io::ErrorKind::NotFound => taken.changed(Change::Gone),
            _ => failed(Failed::to("open", parent)(error)),
        })?;
        let directory = place::whereabouts(&dir).unwrap_or_else(|| parent.to_owned());
        let id = ItemId::new(now).map_err(|error| failed(Failed::to("make an id for", taken.path)(error)))?;
        let taking = Self {
            store,
            _held: store.hold().map_err(failed)?,
            taken,
            id,
            now,
            dir,
            directory,
            name: name.as_bytes(),
            marker: None,
            sha256: String::new(),
            manifest: None,
            trap: None,
            has_trap: false,
            is_captured: false,
            is_removed: false,
            is_settled: false,
        };
        taking.check_unchanged()?;
        taking.check_guards()?;
        taking.check_room()?;
        Ok(taking)
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), TakeError> {
        match step {
            Step::Mark => self.mark(),
            Step::Copy => self.copy(),
            Step::Describe => self.describe(),
            Step::Commit => {
                self.check_unchanged()?;
                let turned = self.store.turn(&self.id, Part::Taking, Part::Removing);
                turned.map_err(|source| self.failed(source))
            }
            Step::Trap => self.set_trap(),
            Step::Capture => self.capture(),
            Step::Remove => self.remove(),
            Step::Clear => self.clear(),
            Step::Confirm => {
                let turned = self.store.turn(&self.id, Part::Removing, Part::Manifest);
                turned.map_err(|source| self.failed(source))?;
                self.is_settled = true;
                Ok(())
            }
        }
    }

    fn item(self) -> Result<Item, TakeError> {
        match self.manifest {
            Some(manifest) => Ok(Item {
                manifest,
                is_settled: self.is_settled,
            }),
            // Not without a step left out.
            None => Err(self.taken.changed(Change::Altered)),
        }
    }

    fn mark(&mut self) -> Result<(), TakeError> {
        let name = Part::Taking.name(&self.id);
        let made = place::create_new(&self.store.dir, &name);
        self.marker = Some(made.map_err(|error| self.store_failed("make", &name, error))?);
        Ok(())
    }

    fn copy(&mut self) -> Result<(), TakeError> {
        let name = Part::Data.name(&self.id);
        let mut out =
            place::create_new(&self.store.dir, &name).map_err(|error| self.store_failed("make", &name, error))?;
        // One byte more than there was tells that it grew, and a file that grows without end ends here.
        let mut source = FromStart {
            file: self.taken.file,
            at: 0,
        }
        .take(self.taken.scanned.size + 1);
        let passed = seal::seal(&self.store.key, &self.id, &mut source, &mut out).map_err(|error| match error {
            PassError::Read(error) => self.failed(Failed::to("read", self.taken.path)(error)),
            PassError::Write(error) => self.store_failed("write", &name, error),
            PassError::Damaged => self.store_failed("encrypt", &name, io::ErrorKind::InvalidData.into()),
        })?;
        let is_that = self
            .taken
            .sha256
            .is_none_or(|sha256| sha256.eq_ignore_ascii_case(&passed.sha256));
        if passed.length != self.taken.scanned.size || !is_that {
            return Err(self.taken.changed(Change::Altered));
        }
        self.sha256 = passed.sha256;
        out.sync_all().map_err(|error| self.store_failed("write", &name, error))
    }

    fn describe(&mut self) -> Result<(), TakeError> {
        let Taken { file, scanned, .. } = *self.taken;
        let attributes = Attributes::read(file, scanned)
            .map_err(|error| self.failed(Failed::to("read the attributes of", self.taken.path)(error)))?;
        let manifest = Manifest {
            form: Manifest::FORM,
            id: self.id,
            path: Raw::of_path(self.taken.path),
            directory: Raw::of_path(&self.directory),
            name: Raw::new(self.name),
            other_names: self.taken.other_names.iter().map(|path| Raw::of_path(path)).collect(),
            links: scanned.links,
            device: scanned.device,
            inode: scanned.inode,
            size: scanned.size,
            sha256: self.sha256.clone(),
            attributes,
            signatures: self.taken.signatures.to_vec(),
            rule: self.taken.rule.to_owned(),
            clamd: self.taken.clamd.to_owned(),
            scanned_at: self.taken.scanned_at,
            taken_at: self.now,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
        };
        let name = Part::Taking.name(&self.id);
        // What is written must be what can be read: a file whose manifest could not be, stays.
        let written = manifest.write().map_err(io::Error::from).and_then(|bytes| {
            Manifest::parse(&bytes, &self.id).map_err(io::Error::other)?;
            let marker = self.marker.as_mut().ok_or(io::ErrorKind::NotFound)?;
            marker.write_all(&bytes)?;
            marker.sync_all()
        });
        written.map_err(|error| self.store_failed("write", &name, error))?;
        self.store.sync().map_err(|source| self.failed(source))?;
        self.manifest = Some(manifest);
        Ok(())
    }

    fn set_trap(&mut self) -> Result<(), TakeError> {
        let name = trap_name(&self.id);
        let path = place::join(&self.directory, &name);
        rustix::fs::mkdirat(&self.dir, &name, Mode::RWXU)
            .map_err(|error| self.failed(Failed::to("make", &path)(error)))?;
        self.has_trap = true;
        let trap = place::open_beneath(&self.dir, Path::new(OsStr::from_bytes(&name)))
            .map_err(|error| self.failed(Failed::to("open", &path)(error)))?;
        let is_ours = is_ours(&trap).map_err(|error| self.failed(Failed::to("look at", &path)(error)))?;
        self.trap = Some(trap);
        if !is_ours {
            let path = self.taken.path.to_owned();
            return Err(TakeError::Unsafe { path });
        }
        // As late as can be: what is replaced from here on is caught, too, and given back.
        self.check_unchanged()
    }

    fn capture(&mut self) -> Result<(), TakeError> {
        let Some(trap) = &self.trap else { return Ok(()) };
        match rustix::fs::renameat(&self.dir, self.name, trap, CAPTURED) {
            Ok(()) => self.is_captured = true,
            Err(rustix::io::Errno::NOENT) => return Err(self.taken.changed(Change::Gone)),
            Err(error) => return Err(self.failed(Failed::to("remove", self.taken.path)(error))),
        }
        // From here on nobody can replace it. Being moved changes its ctime, so that this no longer tells anything.
        let captured = Stamp::look(trap, CAPTURED).map_err(|error| self.path_failed("look at", error))?;
        let open = Stamp::of(self.taken.file).map_err(|error| self.path_failed("look at", error))?;
        if !captured.is_same_file(self.taken.scanned) {
            return Err(self.taken.changed(Change::Replaced));
        }
        if !captured.has_same_content(self.taken.scanned) || !open.has_same_content(self.taken.scanned) {
            return Err(self.taken.changed(Change::Altered));
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<(), TakeError> {
        let Some(trap) = &self.trap else { return Ok(()) };
        rustix::fs::unlinkat(trap, CAPTURED, AtFlags::empty()).map_err(|error| self.path_failed("remove", error))?;
        self.is_removed = true;
        Ok(())
    }

    fn clear(&self) -> Result<(), TakeError> {
        if let Some(trap) = &self.trap {
            place::sync(trap).map_err(|error| self.path_failed("remove", error))?;
        }
        let cleared = rustix::fs::unlinkat(&self.dir, trap_name(&self.id), AtFlags::REMOVEDIR);
        cleared.map_err(|error| self.path_failed("clear up after", error))?;
        place::sync(&self.dir).map_err(|error| self.path_failed("remove", error))
    }

    /// Puts back all that was done.
    pub(super) fn undo(&self, error: TakeError) -> TakeError {
        if let (Some(trap), true) = (&self.trap, self.is_captured)
            && let Err(source) = place::move_to_free_name(trap, CAPTURED, &self.dir, self.name)
        {
            let trap = place::join(&self.directory, &trap_name(&self.id));
            let reason: &dyn std::error::Error = &error;
            tracing::error!(id = %self.id, error = reason, "a file was moved, and could not be moved back");
            return TakeError::Stranded {
                path: self.taken.path.to_owned(),
                at: place::join(&trap, CAPTURED),
                source: Failed::to("move it back to", self.taken.path)(source),
            };
        }
        let cleared = if self.has_trap {
            rustix::fs::unlinkat(&self.dir, trap_name(&self.id), AtFlags::REMOVEDIR)
        } else {
            Ok(())
        };
        let forgotten = cleared
            .map_err(Failed::to("clear up after", self.taken.path))
            .and_then(|()| self.store.forget(&self.id));
        if let Err(error) = forgotten {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(id = %self.id, error, "what is left of a file that was not taken stays until the next start");
        }
        error
    }

    pub(super) fn failed(&self, source: Failed) -> TakeError {
        TakeError::Failed {
            path: self.taken.path.to_owned(),
            source,
        }
    }

    pub(super) fn path_failed(&self, doing: &'static str, error: impl Into<io::Error>) -> TakeError {
        self.failed(Failed::to(doing, self.taken.path)(error))
    }

    fn store_failed(&self, doing: &'static str, name: &[u8], error: io::Error) -> TakeError {
        self.failed(Failed::to(doing, &self.store.path_of(name))(error))
    }
}

/// A file from its start, whatever the position of the descriptor.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
