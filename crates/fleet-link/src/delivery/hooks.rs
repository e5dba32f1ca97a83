//! What delivery tells the product.

use core_model::StreamId;
use fleet_wire::Rejected;
use std::{fmt, sync::Arc};

/// A record that the server will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number and the reason.
    pub rejected: Rejected,
    /// The record as it lay in the outbox: JSON, `{"kind", "time", "body"}`.
    pub record: Vec<u8>,
}

/// Told of the refusals of a request before their records leave the outbox. May block. After a crash the same refusal
/// may be told again.
pub type OnRejected = Arc<dyn Fn(&[Refusal]) + Send + Sync>;

/// Told that the server wants a full snapshot because it does not know this stream. May block. It is told again each
/// time the server says so, until the queue has another stream; the delivery then goes on with that one at once.
pub type OnSnapshotWanted = Arc<dyn Fn(StreamId) + Send + Sync>;

/// What delivery tells the product. Both are called on threads where they may block.
#[derive(Clone)]
pub struct Hooks {
    /// Of the records that the server refused.
    pub on_rejected: OnRejected,
    /// That the server wants a full snapshot.
    pub on_snapshot_wanted: OnSnapshotWanted,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
