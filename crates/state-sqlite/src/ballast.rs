//! A file that holds room on the disk, to be given up when nothing else can leave.
//!
//! Taking acknowledged records out of a database needs room for the log of that change. On a full disk there is none, and
//! what would free some is stuck behind it. The ballast is removed then.
use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::PathBuf,
};

/// How much it holds: enough for the log of many acknowledgements.
pub(crate) const BYTES: usize = 1 << 20;

/// The file of the ballast.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == BYTES as u64)
    }

    /// Makes it, also beside the one that is there, which it then replaces: that it could be made proves that the disk has
    /// this much room.
    pub(crate) fn make(&self) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".tmp");
        let fresh = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        crate::files::private(&mut options);
        // Random, for a file system that compresses would store zeros in no room at all.
        let write = || {
            let mut bytes = vec![0; BYTES];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let mut file = options.open(&fresh)?;
            file.write_all(&bytes)?;
            // Some file systems find out that they are full only now.
            file.sync_data()
        };
        let made = write().and_then(|()| fs::rename(&fresh, &self.path));
        if made.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        made
    }

    /// Gives its room up; whether there was any.
    pub(crate) fn remove(&self) -> bool {
        match fs::remove_file(&self.path) {
            Ok(()) => true,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(path = %self.path.display(), %error, "could not remove the ballast beside the state");
                }
                false
            }
        }
    }
}
