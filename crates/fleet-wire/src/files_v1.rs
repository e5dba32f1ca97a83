//! The endpoints of the file-scanner document, in its own camel case: `POST /api/files/ingest`,
//! `POST /api/agents/register`, `POST /api/agents/heartbeat[/{agentId}]`.
use crate::WirePath;
use serde::{Deserialize, Serialize};

/// `POST /api/files/ingest`, with an `Idempotency-Key` header. `deleted` and `moved` stand beside the document's
/// `files`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    /// Files created or updated.
    #[serde(default)]
    pub files: Vec<File>,
    /// Files that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<WirePath>,
    /// Files with another path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
}

/// A file of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// The last component of its path.
    pub filename: String,
    /// Its MIME type.
    pub file_type: String,
    /// Its absolute path (`path`, and `path_raw` where that is not UTF-8).
    #[serde(flatten)]
    pub path: WirePath,
    /// Length in bytes.
    pub size: u64,
    /// When it was last indexed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_indexed_at: Option<String>,
    /// Last modification, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// Free words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A file with another path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The path it had.
    pub from: WirePath,
    /// The path it has.
    pub to: WirePath,
}

/// `POST /api/agents/register`, small or full form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// The agent's name.
    pub agent_id: String,
    /// The machine's name.
    pub hostname: String,
    /// The agent's version.
    pub version: String,
    /// What it scans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scan_paths: Vec<String>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
}

/// `POST /api/agents/heartbeat` (with `agentId` in the body) and `/api/agents/heartbeat/{agentId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The agent's name, in the form without it in the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// `healthy`, `degraded` or `error`.
    pub status: String,
    /// When its last scan ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scan_time: Option<String>,
    /// Files looked at in it.
    #[serde(default)]
    pub files_processed: u64,
    /// Errors in it.
    #[serde(default)]
    pub error_count: u64,
    /// Resident memory in bytes.
    #[serde(default)]
    pub memory_usage: u64,
}
