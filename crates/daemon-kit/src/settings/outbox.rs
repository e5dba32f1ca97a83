//! The section `outbox`: what may wait for the server.

use conf::Check;
use core_model::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use state_sqlite::Bounds;

/// Bounds of the outbox, the durable queue of what the server has not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OutboxSettings {
    /// How much may wait. A server that is away for long must not fill the disk.
    pub max_bytes: ByteSize,
    /// How long a record may wait before it is dropped as too old to be of use.
    pub max_age: Period,
    /// What happens to a new record when the outbox is full: `block` has the work wait until there is room, so that
    /// nothing is lost; `drop_oldest` and `drop_newest` lose records, count them, and have everything told anew in a
    /// snapshot.
    pub when_full: WhenFull,
}

/// What happens to a new record when the outbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest records make room for it.
    DropOldest,
    /// It is dropped itself.
    DropNewest,
    /// The work waits until there is room.
    #[default]
    Block,
}

impl WhenFull {
    /// As it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Block => "block",
        }
    }
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize::new(512 << 20),
            max_age: Period::from_secs(30 * 86_400),
            when_full: WhenFull::default(),
        }
    }
}

impl OutboxSettings {
    /// The least that `max_bytes` may be: a few batches of records have to fit, or nothing could ever be sent.
    pub const LEAST_BYTES: ByteSize = ByteSize::new(1 << 20);

    /// The same for the queue itself.
    pub const fn bounds(&self) -> Bounds {
        Bounds {
            max_bytes: self.max_bytes.bytes(),
            max_age: self.max_age.get(),
            when_full: match self.when_full {
                WhenFull::DropOldest => state_sqlite::WhenFull::DropOldest,
                WhenFull::DropNewest => state_sqlite::WhenFull::DropNewest,
                WhenFull::Block => state_sqlite::WhenFull::Block,
            },
        }
    }

    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        if self.max_bytes < Self::LEAST_BYTES {
            check.problem(
                &format!("{at}.max_bytes"),
                format!("is less than {}: batches of records would not fit", Self::LEAST_BYTES),
                Some("write `512MB`"),
            );
        }
        if self.max_age.get().is_zero() {
            check.problem(
                &format!("{at}.max_age"),
                "must be longer than nothing: every record would be dropped before it is sent",
                Some("write `30d`"),
            );
        }
    }
}
