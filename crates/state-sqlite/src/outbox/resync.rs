//! Why the server's picture may be wrong, and how far the snapshot that makes it right has come.
use chrono::{DateTime, Utc};
use core_model::DirId;

/// Why a new stream with a full snapshot is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResyncReason {
    /// The state is new.
    First,
    /// The state was damaged, and a backup was restored.
    Restored,
    /// The state was damaged, and there was no good backup.
    Rebuilt,
    /// The state stands at an earlier instant than what was told already.
    RolledBack,
    /// Records were given up because a bound of the outbox was reached.
    Dropped,
    /// Something was damaged on disk: records, or what was known of a directory.
    Damaged,
    /// The server asked for a snapshot.
    Wanted,
    /// An operator asked for one.
    Asked,
    /// A reason that this version does not know.
    Other,
}

impl ResyncReason {
    const ALL: [Self; 9] = [
        Self::First,
        Self::Restored,
        Self::Rebuilt,
        Self::RolledBack,
        Self::Dropped,
        Self::Damaged,
        Self::Wanted,
        Self::Asked,
        Self::Other,
    ];

    /// Its name, in the file and on the wire.
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

    /// The reason of this name; [`ResyncReason::Other`] where this version does not know it.
    pub fn of_name(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name() == name)
            .unwrap_or(Self::Other)
    }
}

/// A new stream with a full snapshot is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// Why.
    pub reason: ResyncReason,
    /// The same for people; may be empty.
    pub detail: String,
    /// Since when, to the millisecond.
    pub since: DateTime<Utc>,
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Every directory up to this number, by rising number, is in the outbox or delivered; `None` before the first.
    Through(Option<DirId>),
    /// Every directory is; what is wanted now is a complete scan, and then the end.
    All,
}

/// Whether a snapshot is being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// None is.
    None,
    /// One is.
    Open {
        /// How far it has come.
        told: Told,
    },
}
