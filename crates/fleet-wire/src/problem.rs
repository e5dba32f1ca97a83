//! What an error looks like on the wire (RFC 9457, `application/problem+json`).
use serde::{Deserialize, Serialize};

/// A problem. `code` is stable and for programs; `title` and `detail` are for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status again.
    pub status: u16,
    /// A stable name, such as `name_taken` or `snapshot_wanted`.
    pub code: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// What is wrong this time, and the remedy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Problem {
    /// The media type of its JSON.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";
}
