//! The configuration of a controller, kept in the state directory so that it holds without the controller.
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// A version of the configuration that a controller sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteConfig {
    /// Its number, from 1.
    pub version: u64,
    /// SHA-256 of its text, in hex.
    pub sha256: String,
    /// The document: YAML, of which JSON is a part.
    pub text: String,
}

/// What a controller sent could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The file could not be written, read or removed.
    #[error("could not {doing} the controller's configuration at `{path}`")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written there.
    #[error("the controller's configuration at `{path}` is damaged: it is left out until the controller sends it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub(super) struct RemoteFile(PathBuf);

impl RemoteFile {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self(dir.join("controller-config.json"))
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> RemoteError {
        let path = self.0.clone();
        move |source| RemoteError::File { doing, path, source }
    }

    pub(super) fn read(&self) -> Result<Option<RemoteConfig>, RemoteError> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(self.failed("read"))?,
        };
        let damaged = || RemoteError::Damaged { path: self.0.clone() };
        serde_json::from_str(&text).map(Some).map_err(|_| damaged())
    }

    /// Whole or not at all: it is written beside, synced, and renamed.
    pub(super) fn write(&self, config: &RemoteConfig) -> Result<(), RemoteError> {
        let write = || -> io::Result<()> {
            if let Some(dir) = self.0.parent() {
                fs::create_dir_all(dir)?;
            }
            let mut beside = self.0.as_os_str().to_owned();
            beside.push(".tmp");
            let beside = PathBuf::from(beside);
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&beside)?;
            file.write_all(&serde_json::to_vec(config)?)?;
            file.sync_all()?;
            fs::rename(&beside, &self.0)
        };
        write().map_err(self.failed("write"))
    }

    pub(super) fn remove(&self) -> Result<(), RemoteError> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed("remove")(error)),
            _ => Ok(()),
        }
    }
}
