//! Malware that was taken away, where nobody runs it, with all that it takes to bring it back as it was.
//!
//! A file is taken by the descriptor that was scanned and by nothing else: its content is copied from there into a
//! directory of mode 0700, encrypted, with a manifest of everything else. Only when both are on the disk is the original
//! removed: its name is first moved into a directory that nobody else can reach into, next to where it was, then looked
//! at, and unlinked only if it is that very file. What was put in its place meanwhile goes back. A process that ends at
//! any instant leaves the file, or the item, or both until the quarantine is opened next.
//!
//! It decides nothing about what is malware but this: it takes no file without the name of a signature, and none for a
//! limit of clamd's.
mod attributes;
mod checks;
mod error;
mod id;
mod inspect;
mod manifest;
mod others;
mod place;
mod raw;
mod recent;
mod recover;
mod remove;
mod restore;
mod seal;
mod stamp;
mod store;
mod take;
mod telling;
#[cfg(test)]
pub(crate) mod tests;

use attributes::{Attributes, Missing};
pub(crate) use error::{Failed, ItemError, OpenError, RestoreError};
pub(crate) use id::ItemId;
pub(crate) use inspect::{Inspected, Key, inspect};
pub(crate) use manifest::{Manifest, ManifestError};
pub(crate) use raw::Raw;
pub(crate) use restore::{Restored, Target};
pub(crate) use stamp::FileTime;
pub(crate) use telling::{by_hand, find, restore, tell_unknown};

pub(crate) use {error::TakeError, stamp::Stamp, take::Taken};

use chrono::{DateTime, Utc};
use error::Change;
use recent::Recent;
use serde::Serialize;
use std::{io, path::Path, time::Duration};
use store::Store;

/// A quarantine. Several processes may use the same.
pub(crate) struct Quarantine {
    store: Store,
    recent: Recent,
}

/// What lies in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    #[serde(flatten)]
    pub(crate) manifest: Manifest,
    /// Whether it is certain that the original is gone. It is not where the process ended while it removed it, and the
    /// place could not be reached since.
    pub(crate) is_settled: bool,
}

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By time, the oldest first.
    pub(crate) items: Vec<Item>,
    /// Items that cannot be read.
    pub(crate) damaged: Vec<ItemError>,
}

impl Quarantine {
    /// Opens the quarantine at `path`, makes it where there is none, and puts in order what dead processes left behind.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let store = Store::open(path)?;
        recover::recover(&store)?;
        Ok(Self {
            store,
            recent: Recent::default(),
        })
    }

    /// As [`open`](Self::open), but makes none: `None` where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open_existing(path: &Path) -> Result<Option<Self>, OpenError> {
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // Whatever else is wrong shows when it is opened.
            _ => Self::open(path).map(Some),
        }
    }

    /// Takes a file away. One that was just taken away by another scan that met it at the same time, of this process or of
    /// another, is that item. Several may be taken at once.
    ///
    /// # Errors
    /// See [`TakeError`]: but for one case of two accidents at once, the file is where it was.
    pub(crate) fn take(&self, taken: &Taken<'_>, now: DateTime<Utc>) -> Result<Item, TakeError> {
        self.recent.once(taken, || match take::take(&self.store, taken, now) {
            Err(TakeError::Changed {
                path,
                what: Change::Gone,
            }) => others::find(&self.store, taken, now).ok_or(TakeError::Changed {
                path,
                what: Change::Gone,
            }),
            other => other,
        })
    }

    /// All there is.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn list(&self) -> Result<Listing, Failed> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            match self.store.item(&id) {
                Ok(item) => listing.items.push(item),
                // Removed meanwhile.
                Err(ItemError::Unknown(_)) => {}
                Err(error) => listing.damaged.push(error),
            }
        }
        Ok(listing)
    }

    /// The ids of all there is, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn ids(&self) -> Result<Vec<ItemId>, Failed> {
        self.store.ids()
    }

    /// One item.
    ///
    /// # Errors
    /// See [`ItemError`].
    pub(crate) fn get(&self, id: &ItemId) -> Result<Item, ItemError> {
        self.store.item(id)
    }

    /// Brings a file back, and says what of it could not be.
    ///
    /// # Errors
    /// See [`RestoreError`]: the item is in quarantine still.
    pub(crate) fn restore(&self, id: &ItemId, target: &Target<'_>) -> Result<Restored, RestoreError> {
        restore::restore(&self.store, id, target)
    }

    /// Writes the content of an item to `out`, in the clear. What is written is worth nothing unless this ends well.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub(crate) fn copy_out(&self, id: &ItemId, out: &mut dyn io::Write) -> Result<Item, RestoreError> {
        let _held = self.store.hold().map_err(ItemError::from)?;
        let item = self.store.item(id)?;
        restore::content(&self.store, &item.manifest, out, Path::new("the output"))?;
        Ok(item)
    }

    /// Deletes an item for good, be its manifest damaged or not. Its blocks are not overwritten.
    ///
    /// # Errors
    /// See [`ItemError`].
    pub(crate) fn delete(&self, id: &ItemId) -> Result<(), ItemError> {
        remove::delete(&self.store, id)
    }

    /// Deletes what was taken longer ago than `keep`, puts in order what dead processes left behind, and gives what it
    /// deleted.
    ///
    /// # Errors
    /// See [`ItemError`]; what is deleted by then is deleted.
    pub(crate) fn sweep(&self, keep: Duration, now: DateTime<Utc>) -> Result<Vec<Item>, ItemError> {
        recover::recover(&self.store)?;
        let listing = self.list()?;
        remove::sweep(&self.store, listing.items, keep, now)
    }
}
