//! Why something could not be done, and what helps.
use super::{ItemId, ManifestError};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What the system refused.
#[derive(Debug)]
pub(crate) struct Failed {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Failed {
    /// For `map_err`: `doing` follows on "could not".
    pub(super) fn to<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self {
            doing,
            path,
            source: source.into(),
        }
    }

    /// Which kind of refusal it was.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    fn remedy(&self) -> Option<&'static str> {
        Some(match self.kind() {
            io::ErrorKind::StorageFull => {
                "make room there, or move the quarantine by `quarantine.path` to a file system that has some"
            }
            io::ErrorKind::QuotaExceeded => {
                "raise the quota, or move the quarantine by `quarantine.path` to a file system without one"
            }
            io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: mount it for writing",
            io::ErrorKind::PermissionDenied => {
                "run reef-agent as root, or as a user who may read and write there; see that the file and its directory \
                 are not immutable"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} `{}`", self.doing, self.path.display())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, " ({remedy})"))
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Why a quarantine cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Failed(#[from] Failed),
    /// Its directory belongs to somebody who could change what lies there.
    #[error(
        "`{path}` belongs to user {owner}, who could change what lies there: give it to the user of reef-agent, or set \
         `quarantine.path` to another directory"
    )]
    Foreign { path: PathBuf, owner: u32 },
    /// There are items, and nothing to read them with.
    #[error("`{path}` is missing, without which no item can be read: bring it back from a backup")]
    KeyMissing { path: PathBuf },
    /// It has not the length of a key.
    #[error("`{path}` is no key: bring it back from a backup")]
    KeyDamaged { path: PathBuf },
}

/// Why a file was not taken. But for [`Stranded`](Self::Stranded), it stays where it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// There is no signature, or those there are stand for limits of clamd's.
    #[error("`{path}` was not taken: nothing was found in it that is malware")]
    NotMalware { path: PathBuf },
    /// Only regular files are taken.
    #[error("`{path}` was not taken: it is no regular file with an absolute path")]
    NotAFile { path: PathBuf },
    /// It is not what was scanned any more. Scanning it again tells what it is now.
    #[error("`{path}` was not taken: {what} since it was scanned; what is there now was left alone")]
    Changed { path: PathBuf, what: Change },
    /// An attribute forbids it.
    #[error(
        "`{path}` was not taken and stays where it was: `{guarded}` is {attribute} (`chattr -{letter}` would allow it)"
    )]
    Guarded {
        path: PathBuf,
        guarded: PathBuf,
        attribute: &'static str,
        letter: char,
    },
    /// Others could meddle with the directory in which it is removed.
    #[error(
        "`{path}` was not taken and stays where it was: its file system gives directories to others than who makes them, \
         so that it cannot be removed safely"
    )]
    Unsafe { path: PathBuf },
    /// Nothing was changed.
    #[error("`{path}` was not taken and stays where it was")]
    Failed { path: PathBuf, source: Failed },
    /// A file is where it does not belong, since it could not be put back. It is complete.
    #[error("`{path}` was not taken; what was there lies at `{at}` now: move it back by hand")]
    Stranded { path: PathBuf, at: PathBuf, source: Failed },
}

/// What happened to a file since it was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was written to, or its owner, mode or names changed.
    Altered,
    /// Its name is that of another file.
    Replaced,
    /// Its name is gone.
    Gone,
    /// A directory on the way to it was replaced by a link or by a file.
    Elsewhere,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Altered => "it changed",
            Self::Replaced => "it was replaced by another file",
            Self::Gone => "its name is gone",
            Self::Elsewhere => "a directory on the way to it was replaced",
        })
    }
}

/// Why an item cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ItemError {
    #[error("there is no item {0} in quarantine: `reef-agent quarantine list` shows what there is")]
    Unknown(ItemId),
    #[error("item {0} is being restored or deleted by another process")]
    Busy(ItemId),
    #[error("item {id} cannot be used")]
    Manifest { id: ItemId, source: ManifestError },
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// Why an item was not brought back. It is in quarantine still.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Something is there already.
    #[error("`{path}` exists: move it away, restore with `--to` elsewhere, or with `--force` over it")]
    Occupied { path: PathBuf },
    /// What is there cannot be replaced.
    #[error("`{path}` is a directory: restore with `--to` elsewhere")]
    Directory { path: PathBuf },
    /// It must be there already.
    #[error(
        "the directory `{path}` is not there, or is reached by a link now: make it, or restore with `--to` elsewhere"
    )]
    NoDirectory { path: PathBuf },
    /// Neither a file's name nor in a directory.
    #[error("`{path}` is no path of a file")]
    NoName { path: PathBuf },
    /// The content is not what was taken.
    #[error("the content of item {id} is damaged, or the key of the quarantine is another: nothing was restored")]
    Damaged { id: ItemId },
    /// Somebody else changes the directory.
    #[error("`{path}` was replaced by somebody while it was restored")]
    Replaced { path: PathBuf },
    #[error(transparent)]
    Failed(#[from] Failed),
}
