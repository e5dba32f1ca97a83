//! Systems on which nothing can be watched.
use super::{WatchError, WatchRequest, request::Rooted, shared::Shared};
use std::sync::Arc;

/// There is none.
#[derive(Debug)]
pub(super) enum Engine {}

impl Engine {
    pub(super) fn start(_: &WatchRequest, _: Vec<Rooted>, _: Arc<Shared>) -> Result<Self, WatchError> {
        Err(WatchError::NotAvailable)
    }
}
