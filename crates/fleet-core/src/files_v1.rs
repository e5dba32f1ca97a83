//! The file-scanner document's batches, checked. They carry no sequence numbers: the controller gives them.
use crate::{
    batch::{self, Effect, MAX_BATCH_RECORDS},
    file::{ChangeAction, FileFacts},
};
use chrono::{DateTime, Utc};
use fleet_wire::{FileKind, files_v1};
use serde::{Deserialize, Serialize};

/// A batch that is refused as a whole, because its sender knows no other way: he halves it and finds what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesV1Error {
    /// There is too much in it.
    #[error("the request carries {count} entries; {MAX_BATCH_RECORDS} are the most")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One entry is wrong.
    #[error("`{list}[{index}]`: {detail}")]
    Entry {
        /// `files`, `deleted` or `moved`.
        list: &'static str,
        /// Its place, from 0.
        index: usize,
        /// What is wrong.
        detail: String,
    },
}

/// A batch of the document, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesV1Batch {
    /// What to apply, in order, each with the time at which the agent saw it.
    pub effects: Vec<(DateTime<Utc>, Effect)>,
}

/// The answer to a batch of the document; a repeat with the same key gets the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesV1Receipt {
    /// How many entries were stored.
    pub accepted: u64,
    /// How many moves came from a path that is not known, so that nothing is known of the new one until it stands under
    /// `files`.
    pub unknown_sources: u64,
}

impl FilesV1Batch {
    /// Checks a request that came at `now`. A path freed by a deletion can be the goal of a move, and one freed by a
    /// move can hold a new file: so deletions come first, moves next, files last.
    ///
    /// # Errors
    /// When an entry is wrong, or there are too many.
    pub fn check(request: files_v1::Ingest, now: DateTime<Utc>) -> Result<Self, FilesV1Error> {
        let count = request.files.len() + request.deleted.len() + request.moved.len();
        if count > MAX_BATCH_RECORDS {
            return Err(FilesV1Error::TooMany { count });
        }
        let mut effects = Vec::with_capacity(count);
        for (index, gone) in request.deleted.into_iter().enumerate() {
            let path = batch::path(gone).map_err(|(_, detail)| wrong("deleted", index, detail))?;
            effects.push((now, Effect::Delete { path }));
        }
        for (index, files_v1::Moved { from, to }) in request.moved.into_iter().enumerate() {
            let path = |path| batch::path(path).map_err(|(_, detail)| wrong("moved", index, detail));
            let (from, to) = (path(from)?, path(to)?);
            if from == to {
                return Err(wrong("moved", index, "a move from a path to itself is none".to_owned()));
            }
            effects.push((now, Effect::Move { from, to, facts: None }));
        }
        for (index, file) in request.files.into_iter().enumerate() {
            effects.push(put(file, now).map_err(|detail| wrong("files", index, detail))?);
        }
        Ok(Self { effects })
    }
}

fn wrong(list: &'static str, index: usize, detail: String) -> FilesV1Error {
    FilesV1Error::Entry { list, index, detail }
}

fn put(file: files_v1::File, now: DateTime<Utc>) -> Result<(DateTime<Utc>, Effect), String> {
    let path = batch::path(file.path).map_err(|(_, detail)| detail)?;
    if i64::try_from(file.size).is_err() {
        return Err(format!("size {} is larger than any file", file.size));
    }
    let time = |name: &str, text: Option<String>| {
        text.map(|text| DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc()))
            .transpose()
            .map_err(|error| format!("{name} is not a time (RFC 3339): {error}"))
    };
    let facts = FileFacts {
        kind: FileKind::File,
        size: file.size,
        allocated: None,
        mtime: time("modifiedAt", file.modified_at)?,
        ctime: None,
        btime: None,
        mime: Some(file.file_type).filter(|mime| !mime.is_empty()),
        mode: None,
        uid: None,
        gid: None,
        owner: None,
        group: None,
        inode: None,
        device: None,
        links: None,
        sha256: None,
        blake3: None,
        tags: file.tags,
    };
    let seen = time("lastIndexedAt", file.last_indexed_at)?.unwrap_or(now);
    let effect = Effect::Put {
        path,
        facts: Box::new(facts),
        action: None::<ChangeAction>,
        changed: Vec::new(),
    };
    Ok((seen, effect))
}
