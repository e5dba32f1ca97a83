//! An ingest request, checked: the records that can be applied, and those that never can.
use crate::{
    file::{ChangeAction, FileFacts, MAX_PATH_BYTES},
    malware_check,
};
use chrono::{DateTime, Utc};
use core_model::{SeqRange, StreamId};
use fleet_wire::{
    FileChange, IngestRequest, KindError, MalwareRecord, RawRecord, Rejected, SnapshotBegin, SnapshotEnd, WirePath,
    snapshot_kind,
};
use serde::de::DeserializeOwned;

/// A request may carry so many records.
pub const MAX_BATCH_RECORDS: usize = 5_000;

/// A request that is wrong as a whole: none of its records is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is nothing in it.
    #[error("the request carries no records")]
    Empty,
    /// There is too much in it.
    #[error("the request carries {count} records; {MAX_BATCH_RECORDS} are the most")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Its numbers do not rise by one.
    #[error("record {found} stands where {expected} belongs: the records of a request are consecutive")]
    Gap {
        /// The number that belongs there.
        expected: u64,
        /// The number that stands there.
        found: u64,
    },
    /// Numbers start from 1 and end before 2^63.
    #[error("{seq} is not a sequence number: they count from 1")]
    Number {
        /// The number.
        seq: u64,
    },
}

/// What a record does to what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A file is named by a full snapshot. It is a change only if something else was known of it.
    Present {
        /// Its path.
        path: Vec<u8>,
        /// What is known of it.
        facts: Box<FileFacts>,
    },
    /// A full snapshot begins.
    SnapshotBegin {
        /// Why, by its name on the wire.
        reason: &'static str,
        /// The same for people.
        detail: String,
    },
    /// Everything was named since the snapshot began.
    SnapshotEnd {
        /// Paths that the agent could not look into.
        unseen: Vec<Vec<u8>>,
    },
    /// A file is in this state.
    Put {
        /// Its path.
        path: Vec<u8>,
        /// What is known of it.
        facts: Box<FileFacts>,
        /// What the agent calls it; none where it does not tell new from changed.
        action: Option<ChangeAction>,
        /// What differs.
        changed: Vec<String>,
    },
    /// A file moved and is in this state.
    Move {
        /// The path it had.
        from: Vec<u8>,
        /// The path it has.
        to: Vec<u8>,
        /// What is known of it; none where the agent tells only the paths, so that what is known of `from` goes along.
        facts: Option<Box<FileFacts>>,
    },
    /// A file is gone.
    Delete {
        /// The path it had.
        path: Vec<u8>,
    },
    /// Something about malware: an event, whatever files there are.
    Malware(Box<MalwareRecord>),
}

/// A record that can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the stream.
    pub seq: u64,
    /// When the agent made it.
    pub time: DateTime<Utc>,
    /// What it does.
    pub effect: Effect,
}

/// Consecutive records of one stream, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The stream.
    pub stream: StreamId,
    /// The numbers of all its records.
    pub seqs: SeqRange,
    /// Those that can be applied, by rising number.
    pub entries: Vec<Entry>,
    /// Those that never can.
    pub rejected: Vec<Rejected>,
}

impl Batch {
    /// Checks a request. The same request always gives the same batch, so that a repeat is answered as the first was.
    ///
    /// # Errors
    /// When the request is wrong as a whole.
    pub fn check(request: &IngestRequest) -> Result<Self, BatchError> {
        let seqs = numbers(&request.records)?;
        let mut batch = Self {
            stream: request.stream,
            seqs,
            entries: Vec::with_capacity(request.records.len()),
            rejected: Vec::new(),
        };
        for record in &request.records {
            match effect(record) {
                Ok(effect) => batch.entries.push(Entry {
                    seq: record.seq,
                    time: record.time,
                    effect,
                }),
                Err((code, detail)) => batch.rejected.push(Rejected {
                    seq: record.seq,
                    code: code.to_owned(),
                    detail,
                }),
            }
        }
        Ok(batch)
    }
}

fn numbers(records: &[RawRecord]) -> Result<SeqRange, BatchError> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err(BatchError::Empty);
    };
    if records.len() > MAX_BATCH_RECORDS {
        return Err(BatchError::TooMany { count: records.len() });
    }
    for seq in [first.seq, last.seq] {
        if seq == 0 || i64::try_from(seq).is_err() {
            return Err(BatchError::Number { seq });
        }
    }
    for (expected, record) in (first.seq..).zip(records) {
        if record.seq != expected {
            return Err(BatchError::Gap {
                expected,
                found: record.seq,
            });
        }
    }
    Ok(SeqRange {
        first: first.seq,
        last: last.seq,
    })
}

/// Why a record cannot be applied: the code, and the same for people.
pub(crate) type Refusal = (&'static str, String);

fn effect(record: &RawRecord) -> Result<Effect, Refusal> {
    match record.kind.as_str() {
        snapshot_kind::BEGIN => {
            let SnapshotBegin { reason, detail } = body(record)?;
            return Ok(Effect::SnapshotBegin {
                reason: reason.name(),
                detail,
            });
        }
        snapshot_kind::END => {
            let SnapshotEnd { unseen } = body(record)?;
            let unseen = unseen.into_iter().map(path).collect::<Result<_, _>>()?;
            return Ok(Effect::SnapshotEnd { unseen });
        }
        _ => {}
    }
    if let Some(read) = MalwareRecord::from_record(&record.kind, record.body.get()) {
        let read = read.map_err(|error| ("invalid_body", error.to_string()))?;
        return malware_check::checked(read).map(|event| Effect::Malware(Box::new(event)));
    }
    let change = FileChange::from_record(&record.kind, &record.body).map_err(|error| match error {
        KindError::Unknown(_) => ("unknown_kind", error.to_string()),
        KindError::Body { ref source, .. } => ("invalid_body", format!("{error}: {source}")),
    })?;
    let invalid = |detail: String| ("invalid_body", detail);
    let put = |file: fleet_wire::FileRecord, action| {
        let path = path(file.path.clone())?;
        let changed = file.changed.clone();
        let facts = Box::new(FileFacts::from_record(file).map_err(invalid)?);
        Ok(Effect::Put {
            path,
            facts,
            action: Some(action),
            changed,
        })
    };
    match change {
        FileChange::Present(file) => {
            let path = path(file.path.clone())?;
            let facts = Box::new(FileFacts::from_record(file).map_err(invalid)?);
            Ok(Effect::Present { path, facts })
        }
        FileChange::Created(file) => put(file, ChangeAction::Created),
        FileChange::Updated(file) => put(file, ChangeAction::Updated),
        FileChange::Deleted { path: gone } => Ok(Effect::Delete { path: path(gone)? }),
        FileChange::Moved { from, file } => {
            let (from, to) = (path(from)?, path(file.path.clone())?);
            if from == to {
                return Err(invalid("a move from a path to itself is none".to_owned()));
            }
            let facts = Some(Box::new(FileFacts::from_record(file).map_err(invalid)?));
            Ok(Effect::Move { from, to, facts })
        }
    }
}

fn body<T: DeserializeOwned>(record: &RawRecord) -> Result<T, Refusal> {
    serde_json::from_str(record.body.get()).map_err(|error| ("invalid_body", error.to_string()))
}

/// The bytes of a path that can be one.
pub(crate) fn path(path: WirePath) -> Result<Vec<u8>, Refusal> {
    let bytes = path.into_bytes();
    match bytes.len() {
        0 => Err(("invalid_path", "a path is empty".to_owned())),
        1..=MAX_PATH_BYTES if !bytes.contains(&0) => Ok(bytes),
        1..=MAX_PATH_BYTES => Err(("invalid_path", "a path holds a NUL".to_owned())),
        length => Err((
            "invalid_path",
            format!("a path has {length} bytes; {MAX_PATH_BYTES} are the most"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core_model::BatchId;
    use serde_json::value::to_raw_value;

    fn request(records: &[(u64, &str, serde_json::Value)]) -> IngestRequest {
        IngestRequest {
            batch_id: BatchId::new(DateTime::UNIX_EPOCH, [0; 10]),
            stream: StreamId::new(DateTime::UNIX_EPOCH, [0; 10]),
            records: records
                .iter()
                .map(|(seq, kind, body)| RawRecord {
                    seq: *seq,
                    kind: (*kind).to_owned(),
                    time: DateTime::UNIX_EPOCH,
                    body: to_raw_value(body).unwrap(),
                })
                .collect(),
        }
    }

    fn deleted(seq: u64) -> (u64, &'static str, serde_json::Value) {
        (seq, "file.deleted", serde_json::json!({"path": "/a"}))
    }

    #[test]
    fn a_request_is_consecutive_from_one() {
        let check = |records: &[_]| Batch::check(&request(records)).map(|batch| (batch.seqs.first, batch.seqs.last));
        assert_eq!(check(&[deleted(3), deleted(4)]), Ok((3, 4)));
        assert_eq!(check(&[]), Err(BatchError::Empty));
        assert_eq!(check(&[deleted(0)]), Err(BatchError::Number { seq: 0 }));
        assert_eq!(check(&[deleted(u64::MAX)]), Err(BatchError::Number { seq: u64::MAX }));
        let gap = |expected, found| Err(BatchError::Gap { expected, found });
        assert_eq!(check(&[deleted(3), deleted(5)]), gap(4, 5));
        assert_eq!(check(&[deleted(3), deleted(3)]), gap(4, 3));
        let many: Vec<_> = (1..=5001).map(deleted).collect();
        assert_eq!(check(&many), Err(BatchError::TooMany { count: 5001 }));
    }

    #[test]
    fn what_cannot_be_applied_is_named_and_the_rest_goes_on() {
        let file =
            |path: &str| serde_json::json!({"path": path, "type": "file", "size": 1, "mtime": "2026-01-02T03:04:05Z"});
        let mut wrong_mode = file("/a");
        wrong_mode["mode"] = "rw-r--r--".into();
        let batch = Batch::check(&request(&[
            (1, "file.created", file("/a")),
            (2, "check.result", serde_json::json!({})),
            (3, "file.created", serde_json::json!({"path": "/a"})),
            (4, "file.updated", wrong_mode),
            (5, "file.deleted", serde_json::json!({"path": ""})),
            (6, "file.deleted", serde_json::json!({"path": "/a\u{0}b"})),
            (
                7,
                "file.moved",
                serde_json::json!({"from": {"path": "/a"}, "file": file("/a")}),
            ),
            (8, "file.deleted", serde_json::json!({"path": "/a"})),
        ]))
        .unwrap();
        let codes: Vec<_> = batch.rejected.iter().map(|r| (r.seq, r.code.as_str())).collect();
        assert_eq!(
            codes,
            [
                (2, "unknown_kind"),
                (3, "invalid_body"),
                (4, "invalid_body"),
                (5, "invalid_path"),
                (6, "invalid_path"),
                (7, "invalid_body")
            ]
        );
        assert_eq!(batch.entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 8]);
        assert!(
            batch.rejected[1].detail.contains("missing field"),
            "{}",
            batch.rejected[1].detail
        );
    }
}
