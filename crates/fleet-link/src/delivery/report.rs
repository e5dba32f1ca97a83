//! What came of a round of delivery.

use super::DeliveryError;
use chrono::{DateTime, Utc};

/// What a round did.
#[derive(Debug, Default)]
pub struct DeliveryReport {
    /// Records that the server accepted.
    pub sent: u64,
    /// Records that it refused, or that cannot be said in its dialect.
    pub rejected: u64,
    /// Records that were damaged on disk and are lost.
    pub damaged: u64,
    /// Records that are still in the queue; those enqueued meanwhile among them.
    pub remaining: u64,
    /// When the server last took records.
    pub last_success: Option<DateTime<Utc>>,
    /// Why the round ended before the queue was empty. `None` with records remaining: it was told to stop, or more came.
    pub error: Option<DeliveryError>,
}

impl DeliveryReport {
    /// This and what was done after it.
    pub(super) fn followed_by(self, later: Self) -> Self {
        Self {
            sent: self.sent + later.sent,
            rejected: self.rejected + later.rejected,
            damaged: self.damaged + later.damaged,
            remaining: later.remaining,
            last_success: later.last_success.or(self.last_success),
            error: later.error,
        }
    }
}
