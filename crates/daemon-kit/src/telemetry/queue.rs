//! The queue on disk, in a file of its own: telemetry must never take the room of what a product has to tell.
use super::OtlpQueueSettings;
use state_sqlite::{Bounds, Database, OpenError, OpenOptions, Outbox, WhenFull};
use std::path::Path;

/// Opens the queue at `path`, or makes it, within the bounds of `settings`. A file that is found damaged is begun anew:
/// telemetry is not worth a process that does not start.
///
/// # Errors
/// When it can be neither opened nor made.
pub fn open_queue(path: &Path, settings: &OtlpQueueSettings) -> Result<Outbox, OpenError> {
    let queue = match open(path) {
        Err(OpenError::Corrupt { detail, .. }) => {
            tracing::warn!(path = %path.display(), detail, "the queue of telemetry is damaged and begins anew");
            state_sqlite::remove(path).map_err(|source| OpenError::Open {
                path: path.to_owned(),
                source,
            })?;
            open(path)?
        }
        opened => opened?,
    };
    queue.set_bounds(Bounds {
        max_bytes: settings.max_bytes.bytes(),
        max_age: settings.max_age.get(),
        when_full: WhenFull::DropOldest,
    });
    Ok(queue)
}

fn open(path: &Path) -> Result<Outbox, OpenError> {
    Outbox::open(&Database::open(path, OpenOptions::default())?)
}
