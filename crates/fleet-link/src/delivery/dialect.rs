//! Stored records as a request, in what the server speaks, and its answer as numbers.

use super::batch::Batch;
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::StreamId;
use daemon_kit::Dialect;
use fleet_wire::{
    FileChange, FileKind, FileRecord, IngestResponse, KindError, Rejected, files_v1, join_records, snapshot_kind,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};
use transport_http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, SendError};

const INGEST: &str = "/api/v1/ingest";
const FILES_INGEST: &str = "/api/files/ingest";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A batch as it goes out.
pub(super) struct Outgoing {
    /// `None` when nothing in the batch can be said in the dialect.
    pub(super) request: Option<Request>,
    /// Records that cannot be said in the dialect.
    pub(super) unfit: Vec<Rejected>,
    /// How many records the dialect has no place for and does not miss.
    pub(super) unspoken: u64,
}

/// Which records of a request were answered for.
pub(super) struct Answer {
    /// Up to this number every record of the request is accepted or rejected.
    pub(super) through: u64,
    /// The rejected ones among them.
    pub(super) rejected: Vec<Rejected>,
}

/// Makes the request. It may be repeated: the server knows the records by their numbers, or the request by its key.
pub(super) fn outgoing(dialect: Dialect, batch: &Batch, stream: StreamId) -> Outgoing {
    let id = batch.id(stream);
    match dialect {
        Dialect::Shoal => {
            let runs: Vec<(u64, &[u8])> = batch
                .pieces()
                .iter()
                .map(|piece| (piece.first(), piece.body()))
                .collect();
            let body = join_records(id, stream, &runs);
            let request = Request::new(Method::POST, INGEST)
                .with_body("application/json", body)
                .repeatable();
            Outgoing {
                request: Some(request),
                unfit: Vec::new(),
                unspoken: 0,
            }
        }
        Dialect::FilesV1 => {
            let (document, unfit, unspoken) = document(batch);
            let is_empty = document == files_v1::Ingest::default();
            // A document of strings and numbers can always be written; nothing said is better than half of it.
            let body = serde_json::to_vec(&document).ok().filter(|_| !is_empty);
            let request = body.map(|body| {
                let mut headers = HeaderMap::new();
                headers.extend(
                    HeaderValue::from_str(&id.to_string())
                        .ok()
                        .map(|key| (IDEMPOTENCY_KEY, key)),
                );
                Request::new(Method::POST, FILES_INGEST)
                    .with_body("application/json", body)
                    .with_headers(headers)
            });
            Outgoing {
                request,
                unfit,
                unspoken,
            }
        }
    }
}

/// Reads the answer of success to a batch.
pub(super) fn answer(dialect: Dialect, batch: &Batch, response: &Response) -> Result<Answer, SendError> {
    match dialect {
        Dialect::Shoal => {
            let IngestResponse {
                accepted_through,
                rejected,
            } = response.json()?;
            let through = accepted_through.min(batch.last());
            let mut seen = HashSet::new();
            let is_ours =
                |rejected: &Rejected| (batch.first()..=through).contains(&rejected.seq) && seen.insert(rejected.seq);
            Ok(Answer {
                through,
                rejected: rejected.into_iter().filter(is_ours).collect(),
            })
        }
        // The document has no words about single files: 2xx means that all are taken.
        Dialect::FilesV1 => Ok(Answer {
            through: batch.last(),
            rejected: Vec::new(),
        }),
    }
}

/// How many records, from the first on, can go into one request of the dialect while `busy` paths are under way; and
/// the paths they concern.
///
/// The records of the document bear no numbers, so what it says of one path must go one after the other. Numbered
/// records can go in any order.
pub(super) fn fitting(dialect: Dialect, batch: &Batch, busy: &HashSet<Vec<u8>>) -> (usize, HashSet<Vec<u8>>) {
    let mut mine = HashSet::new();
    if dialect == Dialect::Shoal {
        return (batch.len(), mine);
    }
    for (count, seq) in (batch.first()..=batch.last()).enumerate() {
        let change = batch.line(seq).and_then(|line| read(line).ok());
        let paths = change.map(|(change, _)| paths(change)).unwrap_or_default();
        if paths.iter().any(|path| busy.contains(path) || mine.contains(path)) {
            return (count, mine);
        }
        mine.extend(paths);
    }
    (batch.len(), mine)
}

fn paths(change: FileChange) -> Vec<Vec<u8>> {
    match change {
        FileChange::Present(file) | FileChange::Created(file) | FileChange::Updated(file) => {
            vec![file.path.into_bytes()]
        }
        FileChange::Moved { from, file } => vec![from.into_bytes(), file.path.into_bytes()],
        FileChange::Deleted { path } => vec![path.into_bytes()],
    }
}

#[derive(Deserialize)]
struct StoredRecord<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    time: DateTime<Utc>,
    #[serde(borrow)]
    body: &'a RawValue,
}

fn read(line: &[u8]) -> Result<(FileChange, DateTime<Utc>), Unfit> {
    let record: StoredRecord<'_> = serde_json::from_slice(line).map_err(Unfit::Record)?;
    let change = FileChange::from_record(&record.kind, record.body).map_err(Unfit::Change)?;
    Ok((change, record.time))
}

#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the stored record cannot be read")]
    Record(#[source] serde_json::Error),
    #[error("the file-scanner document has no place for it")]
    Change(#[source] KindError),
}

fn document(batch: &Batch) -> (files_v1::Ingest, Vec<Rejected>, u64) {
    let mut document = files_v1::Ingest::default();
    let (mut unfit, mut unspoken) = (Vec::new(), 0);
    for seq in batch.first()..=batch.last() {
        let line = batch.line(seq).unwrap_or_default();
        match read(line) {
            Ok((change, time)) => put(&mut document, change, time),
            Err(_) if is_frame(line) => unspoken += 1,
            Err(error) => unfit.push(Rejected {
                seq,
                code: "not_in_dialect".to_owned(),
                detail: core_model::chain(&error),
            }),
        }
    }
    (document, unfit, unspoken)
}

/// The frame around a snapshot: the document has nothing of the kind, and what is in the frame is told all the same.
fn is_frame(line: &[u8]) -> bool {
    serde_json::from_slice::<StoredRecord<'_>>(line)
        .is_ok_and(|record| matches!(&*record.kind, snapshot_kind::BEGIN | snapshot_kind::END))
}

fn put(document: &mut files_v1::Ingest, change: FileChange, time: DateTime<Utc>) {
    match change {
        FileChange::Present(record) | FileChange::Created(record) | FileChange::Updated(record) => {
            document.files.push(file(record, time))
        }
        FileChange::Deleted { path } => document.deleted.push(path),
        FileChange::Moved { from, file: record } => {
            let to = record.path.clone();
            document.moved.push(files_v1::Moved { from, to });
            // A server that knows nothing of moves still learns of the new path.
            document.files.push(file(record, time));
        }
    }
}

fn file(record: FileRecord, time: DateTime<Utc>) -> files_v1::File {
    let bytes = record.path.as_bytes();
    // Paths of Windows hosts divide with `\`; a `\` in a name elsewhere is rare and harms but the shown name.
    let is_divider = |byte: &u8| *byte == b'/' || (*byte == b'\\' && !bytes.starts_with(b"/"));
    let name = bytes.rsplit(is_divider).next().unwrap_or_default();
    let fallback = match record.kind {
        FileKind::Symlink => "inode/symlink",
        FileKind::Fifo => "inode/fifo",
        FileKind::Socket => "inode/socket",
        FileKind::BlockDevice => "inode/blockdevice",
        FileKind::CharDevice => "inode/chardevice",
        FileKind::File | FileKind::Other => "application/octet-stream",
    };
    let rfc3339 = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    files_v1::File {
        filename: String::from_utf8_lossy(name).into_owned(),
        file_type: record.mime.unwrap_or_else(|| fallback.to_owned()),
        size: record.size,
        last_indexed_at: Some(rfc3339(time)),
        modified_at: Some(rfc3339(record.mtime)),
        tags: Vec::new(),
        path: record.path,
    }
}
