//! Who enrolment says that this agent is, and its key, on disk: readable by the agent alone, never half written.

use crate::private_file::{self, Content};
use chrono::{DateTime, Utc};
use core_model::{AgentId, Secret};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};
use url::Url;

/// Who this agent is at its server, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The id that the server gave.
    pub agent_id: AgentId,
    /// The name it is enrolled under.
    pub name: String,
    /// What it sends as `X-API-KEY`; none where its certificate proves it.
    pub api_key: Option<Secret>,
    /// Scheme, host and port of the server that gave the key. It is never sent to another.
    pub server: String,
    /// When it was enrolled.
    pub enrolled_at: DateTime<Utc>,
    /// The machine that it was enrolled on, as [`machine_id`](crate::machine_id) has it, where that is known.
    pub machine: Option<String>,
}

impl Credentials {
    /// Whether they were given to another machine than this one: the host was moved, or copied.
    pub fn is_of_another_machine(&self, machine: Option<&str>) -> bool {
        matches!((self.machine.as_deref(), machine), (Some(theirs), Some(ours)) if theirs != ours)
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file is there and cannot be read.
    #[error("could not read the credentials `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner can read or write the file.
    #[error(
        "the credentials `{path}` are open to other users (mode {mode:04o}): run `chmod 0600 {path}`, and if someone \
         may have read them, revoke this agent's key at the controller and enrol again"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no credentials.
    #[error("`{path}` holds no credentials: move it away and enrol again with a join token")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The key was given by another server.
    #[error(
        "the credentials `{path}` are for {theirs}, not for {wanted}: set `server.base_url` back, or move the file away \
         and enrol at the new server; if it is the same server under another name, write that name into the file"
    )]
    OtherServer {
        /// The file.
        path: PathBuf,
        /// Scheme, host and port of the server that gave the key.
        theirs: String,
        /// Scheme, host and port of the configured server.
        wanted: String,
    },
    /// The configured address is none.
    #[error("`{0}` is no address of a server: write it as `https://fleet.example.com`")]
    Server(String),
    /// The file could not be removed.
    #[error("could not remove the credentials `{path}`")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written; the one before, if any, is as it was.
    #[error("could not store the credentials `{path}`")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file that credentials are kept in: `credentials.json` in the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    agent_id: AgentId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    server: String,
    enrolled_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
}

impl CredentialFile {
    /// The file in `data_dir`. Nothing is looked at yet.
    pub fn in_dir(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("credentials.json"),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the credentials for the server at `base_url`; `None` when there is no file. Blocks on the disk.
    ///
    /// # Errors
    /// See [`CredentialError`]: a file that others can read is refused, and so is one of another server.
    pub fn load(&self, base_url: &str) -> Result<Option<Credentials>, CredentialError> {
        let wanted = origin(base_url)?;
        let path = || self.path.clone();
        let failed = |source| CredentialError::Read { path: path(), source };
        match private_file::read(&self.path).map_err(failed)? {
            Content::Missing => Ok(None),
            Content::Exposed { mode } => Err(CredentialError::Exposed { path: path(), mode }),
            Content::Text(text) => self.parse(&text, wanted).map(Some),
        }
    }

    /// Reads the file's text: credentials for the server `wanted` or for none.
    pub(crate) fn parse(&self, text: &str, wanted: String) -> Result<Credentials, CredentialError> {
        let path = || self.path.clone();
        let found: OnDisk =
            serde_json::from_str(text).map_err(|source| CredentialError::Content { path: path(), source })?;
        if !is_same_server(&found.server, &wanted) {
            return Err(CredentialError::OtherServer {
                path: path(),
                theirs: found.server,
                wanted,
            });
        }
        Ok(Credentials {
            agent_id: found.agent_id,
            name: found.name,
            api_key: found.api_key.map(Secret::new),
            // As it is now: its own scheme may have changed since.
            server: wanted,
            enrolled_at: found.enrolled_at,
            machine: found.machine,
        })
    }

    /// Writes the credentials, 0600, in one step: after a crash there are the old ones or the new ones. Makes the
    /// directory (0700) if it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, credentials: &Credentials) -> Result<(), CredentialError> {
        let on_disk = OnDisk {
            agent_id: credentials.agent_id,
            name: credentials.name.clone(),
            api_key: credentials.api_key.as_ref().map(|key| key.reveal().to_owned()),
            server: credentials.server.clone(),
            enrolled_at: credentials.enrolled_at,
            machine: credentials.machine.clone(),
        };
        let written = serde_json::to_vec_pretty(&on_disk).map_err(io::Error::from);
        let written = written.and_then(|text| private_file::write(&self.path, &text));
        written.map_err(|source| CredentialError::Store {
            path: self.path.clone(),
            source,
        })
    }

    /// Sets the credentials aside, because they are those of the host that this one was copied from: they are under the
    /// path that this gives, in the place of any set aside before. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be renamed.
    pub fn set_aside(&self) -> Result<PathBuf, CredentialError> {
        let aside = self.aside();
        match std::fs::rename(&self.path, &aside) {
            Ok(()) => Ok(aside),
            Err(source) => Err(CredentialError::Remove {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// The name that the credentials set aside were for.
    pub(crate) fn name_set_aside(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.aside()).ok()?;
        let aside: OnDisk = serde_json::from_str(&text).ok()?;
        Some(aside.name)
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("json.copied")
    }

    /// Removes the credentials; that there are none is no failure. Blocks on the disk.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self) -> Result<(), CredentialError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CredentialError::Remove {
                path: self.path.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Whether [`CredentialFile::store`] could write now. Makes the directory; leaves nothing else.
    pub(crate) fn check_writable(&self) -> Result<(), CredentialError> {
        private_file::check_writable(&self.path).map_err(|source| CredentialError::Store {
            path: self.path.clone(),
            source,
        })
    }
}

/// Whether what was given by `theirs` may go to `wanted`: the same server, or that host since it speaks TLS, where a key
/// is safer than before.
fn is_same_server(theirs: &str, wanted: &str) -> bool {
    let (Ok(theirs), Ok(wanted)) = (Url::parse(theirs), Url::parse(wanted)) else {
        return false;
    };
    theirs.origin() == wanted.origin()
        || (theirs.scheme() == "http" && wanted.scheme() == "https" && theirs.host() == wanted.host())
}

/// Scheme, host and port of an address: what a key is bound to.
pub(crate) fn origin(base_url: &str) -> Result<String, CredentialError> {
    let url = Url::parse(base_url).ok().filter(Url::has_host);
    url.map(|url| url.origin().ascii_serialization())
        .ok_or_else(|| CredentialError::Server(base_url.to_owned()))
}
