//! What another process has just taken away: it was scanned by both, and one of them came second.
use super::{Item, store::Store, take::Taken};
use chrono::{DateTime, TimeDelta, Utc};
use std::os::unix::ffi::OsStrExt as _;

/// So long ago it may have been taken: between a scan's verdict and its taking lies no more.
const WITHIN: TimeDelta = TimeDelta::minutes(1);
/// So many of the newest items are looked at: in a burst, two scans of the same are less apart than that.
const MOST: usize = 256;

/// The item that a file is whose name is gone, where another process has taken it away by that very name, with that very
/// content.
pub(super) fn find(store: &Store, taken: &Taken<'_>, now: DateTime<Utc>) -> Option<Item> {
    let sha256 = taken.sha256?;
    let earliest = now - WITHIN;
    let ids = store.ids().ok()?;
    // An id begins with its time: the newest come last.
    let newest = ids.iter().rev().take_while(|id| id.made_at() >= earliest).take(MOST);
    newest.filter_map(|id| store.item(id).ok()).find(|item| {
        let manifest = &item.manifest;
        manifest.path.bytes() == taken.path.as_os_str().as_bytes()
            && manifest.sha256.eq_ignore_ascii_case(sha256)
            && (manifest.device, manifest.inode) == (taken.scanned.device, taken.scanned.inode)
    })
}
