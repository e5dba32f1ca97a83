//! A change of the scan as a record of the outbox: one JSON object a line, without the number that it gets when it is
//! enqueued. Borrowed all the way, for a first scan encodes millions.
use chrono::{DateTime, Utc};
use fleet_wire::{FileKind, WirePath, kind};
use fsscan::{Algorithm, Change, Changed, Encoder, FileMeta};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::collections::HashMap;

/// Encodes records for the controller, all with the time of the scan.
pub(crate) struct RecordEncoder<'a> {
    time: DateTime<Utc>,
    mime: bool,
    /// Paths of which it is noted that a record of them was made.
    watched: Option<&'a HashMap<Vec<u8>, i64>>,
    met: Vec<Vec<u8>>,
}

impl<'a> RecordEncoder<'a> {
    /// For a scan that began at `time`; `mime` says whether records carry a MIME type.
    pub(crate) fn new(time: DateTime<Utc>, mime: bool) -> Self {
        Self {
            time,
            mime,
            watched: None,
            met: Vec::new(),
        }
    }

    /// Notes which of these paths it makes records of.
    pub(crate) fn watching(self, paths: &'a HashMap<Vec<u8>, i64>) -> Self {
        Self {
            watched: Some(paths).filter(|paths| !paths.is_empty()),
            ..self
        }
    }

    /// The watched paths of which it made records.
    pub(crate) fn met(&self) -> &[Vec<u8>] {
        &self.met
    }

    fn watch(&mut self, change: &Change<'_>) {
        let Some(watched) = self.watched else { return };
        let path = match change {
            Change::Present { file }
            | Change::Created { file }
            | Change::Updated { file, .. }
            | Change::Moved { file, .. } => file.path,
            Change::Deleted { path } => path,
        };
        if watched.contains_key(path) {
            self.met.push(path.to_vec());
        }
    }
}

impl Encoder for RecordEncoder<'_> {
    fn encode(&mut self, change: &Change<'_>, out: &mut Vec<u8>) {
        self.watch(change);
        let (time, mime) = (self.time, self.mime);
        let before = out.len();
        let written = match change {
            Change::Present { file } => line(out, kind::FILE_PRESENT, time, FileBody::new(file, None, mime)),
            Change::Created { file } => line(out, kind::FILE_CREATED, time, FileBody::new(file, None, mime)),
            Change::Updated { file, changed } => {
                line(out, kind::FILE_UPDATED, time, FileBody::new(file, Some(*changed), mime))
            }
            Change::Moved { from, file } => {
                let body = MovedBody {
                    from: PathBody::new(from),
                    file: FileBody::new(file, None, mime),
                };
                line(out, kind::FILE_MOVED, time, body)
            }
            Change::Deleted { path } => line(out, kind::FILE_DELETED, time, PathBody::new(path)),
        };
        // Writing to memory and text keys cannot fail; should it ever, half a record must not stay.
        if let Err(error) = written {
            tracing::error!(%error, "a record could not be encoded");
            out.truncate(before);
        }
        out.push(b'\n');
    }
}

#[derive(Serialize)]
struct Line<B> {
    kind: &'static str,
    time: DateTime<Utc>,
    body: B,
}

fn line<B: Serialize>(out: &mut Vec<u8>, kind: &'static str, time: DateTime<Utc>, body: B) -> serde_json::Result<()> {
    serde_json::to_writer(out, &Line { kind, time, body })
}

#[derive(Serialize)]
struct PathBody<'a> {
    path: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_raw: Option<String>,
}

impl<'a> PathBody<'a> {
    fn new(path: &'a [u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) => Self {
                path: text.into(),
                path_raw: None,
            },
            Err(_) => Self {
                path: String::from_utf8_lossy(path),
                path_raw: WirePath::from_bytes(path).raw(),
            },
        }
    }
}

#[derive(Serialize)]
struct MovedBody<'a> {
    from: PathBody<'a>,
    file: FileBody<'a>,
}

/// The same JSON as [`fleet_wire::FileRecord`], from borrowed parts; a test holds the two together.
#[derive(Serialize)]
pub(crate) struct FileBody<'a> {
    path: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_raw: Option<String>,
    #[serde(rename = "type")]
    kind: FileKind,
    size: u64,
    allocated_bytes: u64,
    mtime: DateTime<Utc>,
    ctime: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    btime: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a str>,
    #[serde(serialize_with = "octal")]
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<u64>,
    links: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "names")]
    changed: Option<Changed>,
}

impl<'a> FileBody<'a> {
    /// The body of `file`; `changed` is for updates, and the MIME type is left out unless `mime` says otherwise.
    pub(crate) fn new(file: &FileMeta<'a>, changed: Option<Changed>, mime: bool) -> Self {
        let PathBody { path, path_raw } = PathBody::new(file.path);
        let hash = |algorithm| {
            file.hash
                .filter(|hash| hash.algorithm == algorithm)
                .map(|hash| hash.to_string())
        };
        Self {
            path,
            path_raw,
            kind: wire_kind(file.kind),
            size: file.size,
            allocated_bytes: file.allocated,
            mtime: DateTime::from_timestamp_nanos(file.mtime_ns),
            ctime: DateTime::from_timestamp_nanos(file.ctime_ns),
            btime: file.btime_ns.map(DateTime::from_timestamp_nanos),
            mime: file.mime.filter(|_| mime),
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            owner: file.owner,
            group: file.group,
            inode: file.inode,
            device: file.device,
            links: file.links,
            sha256: hash(Algorithm::Sha256),
            blake3: hash(Algorithm::Blake3),
            changed,
        }
    }
}

/// The scan's kind of file as the wire names it.
pub(crate) fn wire_kind(kind: fsscan::FileKind) -> FileKind {
    match kind {
        fsscan::FileKind::File => FileKind::File,
        fsscan::FileKind::Symlink => FileKind::Symlink,
        fsscan::FileKind::Fifo => FileKind::Fifo,
        fsscan::FileKind::Socket => FileKind::Socket,
        fsscan::FileKind::BlockDevice => FileKind::BlockDevice,
        fsscan::FileKind::CharDevice => FileKind::CharDevice,
        fsscan::FileKind::Other => FileKind::Other,
    }
}

// serde hands over a reference whether the value is worth one or not.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn names<S: Serializer>(changed: &Option<Changed>, serializer: S) -> Result<S::Ok, S::Error> {
    let names = changed.iter().flat_map(|changed| changed.names());
    let mut list = serializer.serialize_seq(None)?;
    for name in names {
        list.serialize_element(name)?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_wire::{FileChange, FileRecord, RawRecord};
    use fsscan::ContentHash;

    fn meta<'a>(path: &'a [u8], owner: &'a str) -> FileMeta<'a> {
        FileMeta {
            path,
            kind: fsscan::FileKind::File,
            size: 12,
            allocated: 4096,
            mtime_ns: 1_700_000_000_123_456_789,
            ctime_ns: 1_700_000_001_000_000_000,
            btime_ns: Some(-1),
            mode: 0o4755,
            uid: 7,
            gid: 8,
            owner: Some(owner),
            group: None,
            inode: u64::MAX,
            device: Some(9),
            links: 2,
            mime: Some("text/plain"),
            hash: Some(ContentHash {
                algorithm: Algorithm::Sha256,
                bytes: [0xab; 32],
            }),
        }
    }

    #[test]
    fn what_is_encoded_is_what_the_wire_reads() {
        let time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let path = b"/data/new\nline\xff";
        let mut out = Vec::new();
        let mut encoder = RecordEncoder::new(time, true);
        encoder.encode(
            &Change::Created {
                file: meta(path, "ann"),
            },
            &mut out,
        );
        encoder.encode(
            &Change::Moved {
                from: b"/data/old",
                file: meta(path, "ann"),
            },
            &mut out,
        );
        encoder.encode(&Change::Deleted { path }, &mut out);
        let lines: Vec<&[u8]> = out
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(lines.len(), 3, "a name's line break is escaped");
        let changes: Vec<FileChange> = (1..)
            .zip(lines)
            .map(|(seq, line)| {
                let json = format!("{{\"seq\":{seq},{}", std::str::from_utf8(&line[1..]).unwrap());
                let record: RawRecord = serde_json::from_str(&json).unwrap();
                assert_eq!(record.time, time);
                FileChange::from_record(&record.kind, &record.body).unwrap()
            })
            .collect();
        let FileChange::Created(FileRecord {
            path: seen,
            mtime,
            mode,
            owner,
            sha256,
            links,
            ..
        }) = &changes[0]
        else {
            panic!("{:?}", changes[0])
        };
        assert_eq!(seen.as_bytes(), path);
        assert_eq!(mtime.timestamp_nanos_opt(), Some(1_700_000_000_123_456_789));
        assert_eq!(
            (mode.as_deref(), owner.as_deref(), *links),
            (Some("4755"), Some("ann"), Some(2))
        );
        assert_eq!(sha256.as_deref(), Some("ab".repeat(32).as_str()));
        assert!(matches!(&changes[1], FileChange::Moved { from, .. } if from.as_bytes() == b"/data/old"));
        assert!(matches!(&changes[2], FileChange::Deleted { path: gone } if gone.as_bytes() == path));
    }
}
