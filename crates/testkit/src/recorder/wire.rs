//! What agents send, read as it stands in the protocol's description and not by the agents' own code: a mistake there
//! must not hide itself here.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The body of `POST /api/v1/ingest`.
#[derive(Deserialize)]
pub(super) struct Ingest<'a> {
    pub(super) stream: String,
    #[serde(borrow)]
    pub(super) records: Vec<Record<'a>>,
}

/// A record.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    pub(super) seq: u64,
    kind: String,
    time: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Present(Vec<u8>),
    Created(Vec<u8>),
    Updated(Vec<u8>),
    Deleted(Vec<u8>),
    Moved { from: Vec<u8>, to: Vec<u8> },
    Begin,
    End { unseen: Vec<Vec<u8>> },
    Other,
}

impl Record<'_> {
    /// Tells apart records with other contents; never 0.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.kind, &self.time, self.body.get()).hash(&mut hasher);
        hasher.finish() | 1
    }

    /// `None` when the body is not what its kind says.
    pub(super) fn said(&self) -> Option<Said> {
        let body: Value = serde_json::from_str(self.body.get()).ok()?;
        Some(match self.kind.as_str() {
            "file.present" => Said::Present(path(&body)?),
            "file.created" => Said::Created(path(&body)?),
            "file.updated" => Said::Updated(path(&body)?),
            "file.deleted" => Said::Deleted(path(&body)?),
            "file.moved" => Said::Moved {
                from: path(&body["from"])?,
                to: path(&body["file"])?,
            },
            "snapshot.begin" => Said::Begin,
            "snapshot.end" => {
                let unseen = body["unseen"].as_array().into_iter().flatten();
                Said::End {
                    unseen: unseen.map(path).collect::<Option<_>>()?,
                }
            }
            _ => Said::Other,
        })
    }
}

/// `path` as text, or `path_raw` in base64 where the path is no UTF-8.
fn path(object: &Value) -> Option<Vec<u8>> {
    match object["path_raw"].as_str() {
        Some(raw) => STANDARD.decode(raw).ok(),
        None => object["path"].as_str().map(|text| text.as_bytes().to_vec()),
    }
}
