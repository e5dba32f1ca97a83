//! Files of agents' hosts as the controller keeps them, and how they are looked up.
use crate::Glob;
use chrono::{DateTime, Utc};
use core_model::AgentId;
use fleet_wire::{FileKind, FileRecord};
use serde::{Deserialize, Serialize};

/// Longer paths are refused; twice what Windows allows, sixteen times what Linux does.
pub const MAX_PATH_BYTES: usize = 65_536;

/// What is known of a file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Its kind.
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Bytes allocated on disk.
    pub allocated: Option<u64>,
    /// Last modification of its content. Kept to the nanosecond between the years 1678 and 2262; what lies outside is
    /// held to that span.
    pub mtime: Option<DateTime<Utc>>,
    /// Last change of its metadata.
    pub ctime: Option<DateTime<Utc>>,
    /// Birth.
    pub btime: Option<DateTime<Utc>>,
    /// MIME type.
    pub mime: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Numeric owner.
    pub uid: Option<u32>,
    /// Numeric group.
    pub gid: Option<u32>,
    /// Owner's name.
    pub owner: Option<String>,
    /// Group's name.
    pub group: Option<String>,
    /// Inode.
    pub inode: Option<u64>,
    /// Device.
    pub device: Option<u64>,
    /// Number of hard links.
    pub links: Option<u32>,
    /// Content hash.
    pub sha256: Option<[u8; 32]>,
    /// Content hash.
    pub blake3: Option<[u8; 32]>,
    /// Free words of the file-scanner document.
    pub tags: Vec<String>,
}

impl FileFacts {
    /// Whether a scan would not call the one an update of the other.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let told = |facts: &Self| {
            (
                facts.kind,
                facts.size,
                facts.mtime,
                facts.ctime,
                facts.mode,
                facts.uid,
                facts.gid,
            )
        };
        let differs = |one: Option<[u8; 32]>, other: Option<[u8; 32]>| one.zip(other).is_some_and(|(a, b)| a != b);
        told(self) == told(other)
            && self.inode == other.inode
            && !differs(self.sha256, other.sha256)
            && !differs(self.blake3, other.blake3)
    }

    /// Takes over a record; the error says in words which field cannot be.
    pub(crate) fn from_record(record: FileRecord) -> Result<Self, String> {
        if i64::try_from(record.size).is_err() {
            return Err(format!("size {} is larger than any file", record.size));
        }
        Ok(Self {
            kind: record.kind,
            size: record.size,
            allocated: record.allocated_bytes,
            mtime: Some(record.mtime),
            ctime: record.ctime,
            btime: record.btime,
            mime: record.mime,
            mode: record.mode.map(|mode| octal(&mode)).transpose()?,
            uid: record.uid,
            gid: record.gid,
            owner: record.owner,
            group: record.group,
            inode: record.inode,
            device: record.device,
            links: record.links,
            sha256: record.sha256.map(|hash| digest("sha256", &hash)).transpose()?,
            blake3: record.blake3.map(|hash| digest("blake3", &hash)).transpose()?,
            tags: Vec::new(),
        })
    }
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o177_777)
        .ok_or_else(|| format!("mode `{text}` is not octal, such as 0644"))
}

pub(crate) fn digest(name: &str, text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    let wrong = || format!("{name} is not 64 hexadecimal digits");
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

/// A file, or what is left of one that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path.
    pub path: Vec<u8>,
    /// When the agent saw it come to this state.
    pub changed_at: DateTime<Utc>,
    /// What is known of it; none when it is gone.
    pub facts: Option<FileFacts>,
}

/// Whether files that are gone are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletedFiles {
    /// Only files that are there.
    #[default]
    Without,
    /// Both.
    With,
    /// Only files that are gone.
    Only,
}

/// Which files of an agent. What is not set does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFilter {
    /// The last component of the path fits.
    pub name: Option<Glob>,
    /// At least so many bytes.
    pub min_size: Option<u64>,
    /// At most so many bytes.
    pub max_size: Option<u64>,
    /// Of this MIME type; `image/*` takes every image.
    pub mime: Option<Glob>,
    /// Changed at this time or later.
    pub changed_since: Option<DateTime<Utc>>,
    /// Files that are gone.
    pub deleted: DeletedFiles,
}

impl FileFilter {
    /// Whether a file is wanted. A file that is gone has neither size nor type, so that asking for either leaves it out.
    pub(crate) fn wants(&self, path: &[u8], file: &Candidate<'_>) -> bool {
        let name = || path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let fits = |glob: &Glob| file.mime.is_some_and(|mime| glob.matches(mime.as_bytes()));
        let there = match self.deleted {
            DeletedFiles::Without => file.size.is_some(),
            DeletedFiles::With => true,
            DeletedFiles::Only => file.size.is_none(),
        };
        there
            && self
                .min_size
                .is_none_or(|least| file.size.is_some_and(|size| size >= least))
            && self
                .max_size
                .is_none_or(|most| file.size.is_some_and(|size| size <= most))
            && self.changed_since.is_none_or(|since| file.changed_at >= since)
            && self.mime.as_ref().is_none_or(fits)
            && self.name.as_ref().is_none_or(|glob| glob.matches(name()))
    }
}

/// The little of a row that a filter looks at, before the rest is read.
pub(crate) struct Candidate<'a> {
    /// None when the file is gone.
    pub(crate) size: Option<u64>,
    pub(crate) mime: Option<&'a str>,
    pub(crate) changed_at: DateTime<Utc>,
}

/// A list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileQuery {
    /// Whose files.
    pub agent: AgentId,
    /// Paths that begin with these bytes.
    pub prefix: Vec<u8>,
    /// Which of those.
    pub filter: FileFilter,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAction {
    /// It is new.
    Created,
    /// It differs.
    Updated,
    /// It has another path.
    Moved,
    /// It is gone.
    Deleted,
}

/// A change as an agent told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// Its number at this agent, by order of arrival.
    pub id: u64,
    /// When the agent saw it.
    pub time: DateTime<Utc>,
    /// What happened.
    pub action: ChangeAction,
    /// The path, the new one of a move.
    pub path: Vec<u8>,
    /// The old path of a move.
    pub from: Option<Vec<u8>>,
    /// What differs in an update, in the agent's words: `size`, `mtime`, `mode` …
    pub changed: Vec<String>,
}

/// The latest changes of an agent, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeQuery {
    /// Whose changes.
    pub agent: AgentId,
    /// Changes of files whose paths (of moves: new or old) begin with these bytes.
    pub prefix: Vec<u8>,
    /// Of this kind only.
    pub action: Option<ChangeAction>,
    /// Seen at this time or later.
    pub since: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_modes_and_digests_are_checked() {
        assert_eq!(octal("0644"), Ok(0o644));
        assert_eq!(octal("100644"), Ok(0o100_644));
        assert!(octal("rw-").is_err() && octal("0999").is_err() && octal("7777777").is_err());
        assert_eq!(digest("sha256", &"0f".repeat(32)).unwrap()[31], 15);
        assert!(digest("sha256", "0f").is_err());
        assert!(digest("sha256", &"é".repeat(32)).is_err());
        assert!(digest("sha256", &"+f".repeat(32)).is_err(), "a sign is no digit");
    }

    #[test]
    fn a_file_that_is_gone_has_no_size() {
        let gone = Candidate {
            size: None,
            mime: None,
            changed_at: DateTime::UNIX_EPOCH,
        };
        let filter = |deleted, min_size| FileFilter {
            deleted,
            min_size,
            name: Some(Glob::new("b*")),
            ..FileFilter::default()
        };
        assert!(filter(DeletedFiles::With, None).wants(b"/a/b.txt", &gone));
        assert!(!filter(DeletedFiles::With, None).wants(b"/b/a.txt", &gone));
        assert!(!filter(DeletedFiles::With, Some(0)).wants(b"/a/b.txt", &gone));
        assert!(!filter(DeletedFiles::Without, None).wants(b"/a/b.txt", &gone));
    }
}
