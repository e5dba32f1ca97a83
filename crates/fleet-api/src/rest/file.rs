//! Files of agents' hosts, and what changed.
use chrono::{DateTime, Utc};
use fleet_core::{ChangeAction, FileFacts, LoggedChange, StoredFile};
use fleet_wire::{FileKind, WirePath};
use serde::{Deserialize, Serialize};

/// Which files as to deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletedParam {
    /// Only files that are there.
    #[default]
    False,
    /// Only files that are gone.
    True,
    /// Both.
    Any,
}

/// The parameters of `GET /api/v1/files`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileQuery {
    /// Whose files: id or name.
    pub agent: String,
    /// Paths that begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The same in base64, for what is not UTF-8; takes the place of `prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_raw: Option<String>,
    /// The last component of the path fits, with `*` and `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At least so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u64>,
    /// At most so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Of this MIME type, with `*` and `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Files that are gone.
    #[serde(default)]
    pub deleted: DeletedParam,
    /// Changed at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_since: Option<DateTime<Utc>>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many rows, 1 to 1000; 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The parameters of `GET /api/v1/files/entry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryQuery {
    /// Whose file: id or name.
    pub agent: String,
    /// Its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The same in base64, for what is not UTF-8; takes the place of `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_raw: Option<String>,
}

/// The parameters of `GET /api/v1/files/changes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuery {
    /// Whose changes: id or name.
    pub agent: String,
    /// Changes of paths that begin so; of a move either path may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The same in base64, for what is not UTF-8; takes the place of `prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_raw: Option<String>,
    /// Of this kind only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ChangeAction>,
    /// Seen at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many rows, 1 to 1000; 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A file, or what is left of one that is gone: then all but `path`, `deleted` and `changed_at` is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Its path (`path`, and `path_raw` where that is not UTF-8).
    #[serde(flatten)]
    pub path: WirePath,
    /// Whether it is gone.
    pub deleted: bool,
    /// When the agent saw it come to this state.
    pub changed_at: DateTime<Utc>,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Option<FileFactsView>,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFactsView {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Bytes allocated on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<u64>,
    /// Last modification of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<DateTime<Utc>>,
    /// Last change of its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime: Option<DateTime<Utc>>,
    /// Birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btime: Option<DateTime<Utc>>,
    /// MIME type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Permission bits in octal, such as `0644`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Numeric owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Numeric group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Owner's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Inode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// Device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u64>,
    /// Number of hard links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<u32>,
    /// Content hash, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Content hash, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Free words of the file-scanner document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl From<StoredFile> for FileView {
    fn from(file: StoredFile) -> Self {
        Self {
            path: WirePath::from_bytes(file.path),
            deleted: file.facts.is_none(),
            changed_at: file.changed_at,
            facts: file.facts.map(FileFactsView::from),
        }
    }
}

impl From<FileFacts> for FileFactsView {
    fn from(facts: FileFacts) -> Self {
        Self {
            kind: facts.kind,
            size: facts.size,
            allocated_bytes: facts.allocated,
            mtime: facts.mtime,
            ctime: facts.ctime,
            btime: facts.btime,
            mime: facts.mime,
            mode: facts.mode.map(|mode| format!("{mode:04o}")),
            uid: facts.uid,
            gid: facts.gid,
            owner: facts.owner,
            group: facts.group,
            inode: facts.inode,
            device: facts.device,
            links: facts.links,
            sha256: facts.sha256.map(|hash| hexadecimal(&hash)),
            blake3: facts.blake3.map(|hash| hexadecimal(&hash)),
            tags: facts.tags,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change as an agent told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Its number at this agent, by order of arrival.
    pub id: u64,
    /// When the agent saw it.
    pub time: DateTime<Utc>,
    /// What happened.
    pub action: ChangeAction,
    /// The path, the new one of a move.
    #[serde(flatten)]
    pub path: WirePath,
    /// The old path of a move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<WirePath>,
    /// What differs in an update, in the agent's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

impl From<LoggedChange> for ChangeView {
    fn from(change: LoggedChange) -> Self {
        Self {
            id: change.id,
            time: change.time,
            action: change.action,
            path: WirePath::from_bytes(change.path),
            from: change.from.map(WirePath::from_bytes),
            changed: change.changed,
        }
    }
}
