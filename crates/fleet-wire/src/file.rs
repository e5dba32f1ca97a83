//! Records about files: what a scanner tells of created, updated, moved and deleted ones.
use crate::WirePath;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The names of record kinds, as they stand in `kind`.
pub mod kind {
    /// A file that a full snapshot names; it may be as it was. Body: a [`FileRecord`](crate::FileRecord).
    pub const FILE_PRESENT: &str = "file.present";
    /// A file that was not there at the last scan. Body: a [`FileRecord`](crate::FileRecord).
    pub const FILE_CREATED: &str = "file.created";
    /// A file that differs from the last scan. Body: a [`FileRecord`](crate::FileRecord) with `changed`.
    pub const FILE_UPDATED: &str = "file.updated";
    /// The same file under another path. Body: `{from, file}`.
    pub const FILE_MOVED: &str = "file.moved";
    /// A file that is gone. Body: `{path}`.
    pub const FILE_DELETED: &str = "file.deleted";
}

/// What kind of thing a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A symbolic link; it is a record of its own.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

/// A file as a scan saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its absolute path (`path`, and `path_raw` where that is not UTF-8).
    #[serde(flatten)]
    pub path: WirePath,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Bytes allocated on disk; less than `size` for a sparse file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<u64>,
    /// Last modification of its content, with nanoseconds.
    pub mtime: DateTime<Utc>,
    /// Last change of its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime: Option<DateTime<Utc>>,
    /// Birth, where the file system knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btime: Option<DateTime<Utc>>,
    /// MIME type, by extension or content.
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
    /// Owner's name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group's name, where there is one.
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
    /// Content hash, in lower-case hexadecimal, where hashing is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Content hash, in lower-case hexadecimal, where hashing is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// What differs, in an update: `size`, `mtime`, `ctime`, `mode`, `owner`, `identity`, `type`, `content`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FileChange {
    /// It is there, whether or not the server knows it so: a full snapshot names every file.
    Present(FileRecord),
    /// It was not there at the last scan.
    Created(FileRecord),
    /// It differs from the last scan.
    Updated(FileRecord),
    /// The same file now has another path.
    Moved {
        /// The path it had.
        from: WirePath,
        /// The file as it is now.
        file: FileRecord,
    },
    /// It is gone.
    Deleted {
        /// The path it had.
        #[serde(flatten)]
        path: WirePath,
    },
}

/// A record that is none of a file's.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// The kind is not one of [`kind`].
    #[error("`{0}` is not a kind of file record")]
    Unknown(String),
    /// The body does not fit the kind.
    #[error("the body of a `{kind}` record is not as expected")]
    Body {
        /// The record's kind.
        kind: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct MovedBody {
    from: WirePath,
    file: FileRecord,
}

impl FileChange {
    /// The record's kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Present(_) => kind::FILE_PRESENT,
            Self::Created(_) => kind::FILE_CREATED,
            Self::Updated(_) => kind::FILE_UPDATED,
            Self::Moved { .. } => kind::FILE_MOVED,
            Self::Deleted { .. } => kind::FILE_DELETED,
        }
    }

    /// Reads a record's body by its kind.
    ///
    /// # Errors
    /// When the kind is unknown or the body does not fit it.
    pub fn from_record(record_kind: &str, body: &RawValue) -> Result<Self, KindError> {
        let wrong = |source| KindError::Body {
            kind: record_kind.to_owned(),
            source,
        };
        match record_kind {
            kind::FILE_PRESENT => serde_json::from_str(body.get()).map(Self::Present).map_err(wrong),
            kind::FILE_CREATED => serde_json::from_str(body.get()).map(Self::Created).map_err(wrong),
            kind::FILE_UPDATED => serde_json::from_str(body.get()).map(Self::Updated).map_err(wrong),
            kind::FILE_DELETED => serde_json::from_str(body.get())
                .map(|path| Self::Deleted { path })
                .map_err(wrong),
            kind::FILE_MOVED => serde_json::from_str::<MovedBody>(body.get())
                .map(|MovedBody { from, file }| Self::Moved { from, file })
                .map_err(wrong),
            other => Err(KindError::Unknown(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &[u8]) -> FileRecord {
        FileRecord {
            path: WirePath::from_bytes(path),
            kind: FileKind::File,
            size: 3,
            allocated_bytes: None,
            mtime: DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap(),
            ctime: None,
            btime: None,
            mime: Some("text/plain".into()),
            mode: Some("0644".into()),
            uid: Some(0),
            gid: None,
            owner: None,
            group: None,
            inode: Some(u64::MAX),
            device: None,
            links: Some(1),
            sha256: None,
            blake3: None,
            changed: vec![],
        }
    }

    #[test]
    fn every_change_is_read_back_by_its_kind() {
        for change in [
            FileChange::Present(record(b"/n")),
            FileChange::Created(record(b"/a\n\xff")),
            FileChange::Updated(FileRecord {
                changed: vec!["mode".into()],
                ..record(b"/a")
            }),
            FileChange::Moved {
                from: WirePath::from_bytes(*b"/\xfe"),
                file: record(b"/b"),
            },
            FileChange::Deleted {
                path: WirePath::from_bytes(*b"/c"),
            },
        ] {
            let body = serde_json::value::to_raw_value(&change).unwrap();
            assert_eq!(FileChange::from_record(change.kind(), &body).unwrap(), change);
        }
    }

    #[test]
    fn an_unknown_kind_and_an_unfit_body_are_told_apart() {
        let body = RawValue::from_string("{}".into()).unwrap();
        assert!(matches!(
            FileChange::from_record("file.eaten", &body),
            Err(KindError::Unknown(_))
        ));
        assert!(matches!(
            FileChange::from_record("file.deleted", &body),
            Err(KindError::Body { .. })
        ));
    }
}
