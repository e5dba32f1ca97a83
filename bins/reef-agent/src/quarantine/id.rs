//! The id of an item: a UUIDv7, so that names in the store say when, and nothing else.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{fmt, io, str::FromStr};
use uuid::Uuid;

/// The id of what lies in quarantine. A later one sorts after an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ItemId(Uuid);

/// A text that is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no id: `reef-agent quarantine list` shows them")]
pub(crate) struct NoId(String);

impl ItemId {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(at: DateTime<Utc>) -> io::Result<Self> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
        Ok(Self(
            uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        ))
    }

    /// When it was made, to the millisecond.
    pub(super) fn made_at(&self) -> DateTime<Utc> {
        let [a, b, c, d, e, f, ..] = *self.bytes();
        let millis = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The UUID inside.
    pub(crate) const fn as_uuid(&self) -> Uuid {
        self.0
    }

    /// Its 16 bytes.
    pub(super) const fn bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ItemId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Only as it is written here: other forms of a UUID would be other names of the same file.
        let parsed = Uuid::try_parse(text).map(Self).ok();
        parsed
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| NoId(text.to_owned()))
    }
}
