//! Items deleted for good.
use super::{Item, ItemError, ItemId, store::Store};
use chrono::{DateTime, Utc};
use std::time::Duration;

pub(super) fn delete(store: &Store, id: &ItemId) -> Result<(), ItemError> {
    let _held = store.hold()?;
    let _claimed = store.claim_unread(id)?;
    Ok(store.forget(id)?)
}

pub(super) fn sweep(
    store: &Store,
    items: Vec<Item>,
    keep: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Item>, ItemError> {
    let mut deleted = Vec::new();
    for item in items {
        // What a wrong clock dates into the future is no older than nothing.
        let age = (now - item.manifest.taken_at).to_std().unwrap_or_default();
        if age <= keep {
            continue;
        }
        match delete(store, &item.manifest.id) {
            Ok(()) => deleted.push(item),
            // Somebody is at it, or was.
            Err(ItemError::Unknown(_) | ItemError::Busy(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}
