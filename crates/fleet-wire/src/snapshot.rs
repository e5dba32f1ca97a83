//! Records of a full snapshot: what an agent says around everything it knows, so that a server can drop the rest.
//!
//! A stream begins with `snapshot.begin`. What follows names every file that the agent knows, then whatever changed
//! meanwhile, and `snapshot.end` says that nothing else is there. It takes effect when every record from `begin` on has
//! arrived, in whatever order.
use crate::WirePath;
use serde::{Deserialize, Serialize};

/// The names of the record kinds of a snapshot, as they stand in `kind`.
pub mod snapshot_kind {
    /// A snapshot begins. Body: a [`SnapshotBegin`](crate::SnapshotBegin).
    pub const BEGIN: &str = "snapshot.begin";
    /// Everything was named. Body: a [`SnapshotEnd`](crate::SnapshotEnd).
    pub const END: &str = "snapshot.end";
}

/// Why an agent opened a new stream with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotReason {
    /// The agent has a new state: its first start, or its state was removed.
    First,
    /// The state was damaged, and a backup was restored.
    Restored,
    /// The state was damaged, and there was no good backup.
    Rebuilt,
    /// The state stands at an earlier instant than what was told already: its write-ahead log was lost, or a copy was
    /// put back by hand.
    RolledBack,
    /// Records were given up because a bound of the outbox was reached.
    Dropped,
    /// Records were damaged on disk.
    Damaged,
    /// The server did not know the stream, or asked for a snapshot.
    Wanted,
    /// An operator asked for it on the agent's machine.
    Asked,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl SnapshotReason {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Restored => "restored",
            Self::Rebuilt => "rebuilt",
            Self::RolledBack => "rolled_back",
            Self::Dropped => "dropped",
            Self::Damaged => "damaged",
            Self::Wanted => "wanted",
            Self::Asked => "asked",
            Self::Other => "other",
        }
    }

    /// The reason of this name; [`SnapshotReason::Other`] for a name that this version does not know.
    pub fn of_name(name: &str) -> Self {
        const ALL: [SnapshotReason; 8] = [
            SnapshotReason::First,
            SnapshotReason::Restored,
            SnapshotReason::Rebuilt,
            SnapshotReason::RolledBack,
            SnapshotReason::Dropped,
            SnapshotReason::Damaged,
            SnapshotReason::Wanted,
            SnapshotReason::Asked,
        ];
        ALL.into_iter()
            .find(|reason| reason.name() == name)
            .unwrap_or(Self::Other)
    }
}

/// The body of `snapshot.begin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotBegin {
    /// Why.
    pub reason: SnapshotReason,
    /// The same for people, with what was found and done; empty where there is nothing to add.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The body of `snapshot.end`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// Paths that the agent could not look into. What the server knows of them and below them stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<WirePath>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_as_agreed_and_unknown_reasons_are_no_error() {
        let begin = SnapshotBegin {
            reason: SnapshotReason::RolledBack,
            detail: String::new(),
        };
        assert_eq!(serde_json::to_string(&begin).unwrap(), r#"{"reason":"rolled_back"}"#);
        let newer: SnapshotBegin = serde_json::from_str(r#"{"reason":"of_tomorrow","detail":"x","more":1}"#).unwrap();
        assert_eq!(newer.reason, SnapshotReason::Other);
        let end: SnapshotEnd = serde_json::from_str("{}").unwrap();
        assert_eq!(end, SnapshotEnd::default());
    }

    #[test]
    fn every_reason_has_its_name_on_the_wire() {
        for name in [
            "first",
            "restored",
            "rebuilt",
            "rolled_back",
            "dropped",
            "damaged",
            "wanted",
            "asked",
            "other",
        ] {
            let reason = SnapshotReason::of_name(name);
            assert_eq!(reason.name(), name);
            assert_eq!(serde_json::to_value(reason).unwrap(), name);
        }
    }
}
