//! A few connections that only read, so that looking something up never waits for a write.
use super::writer::failed;
use crate::StoreError;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{sync::Semaphore, task};

pub(super) struct Readers {
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Hands out `connections`, each to one reader at a time.
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections.len())),
            idle: Arc::new(Mutex::new(connections)),
        }
    }

    /// Runs `read` on a thread that may block. All that it reads is of one instant.
    pub(super) async fn run<T, F>(&self, doing: &'static str, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let closed = || StoreError::Closed { doing };
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let reading = task::spawn_blocking(move || {
            let _permit = permit;
            let lease = Lease::take(idle).ok_or_else(closed)?;
            let Some(connection) = &lease.connection else {
                return Err(closed());
            };
            let begin = || connection.prepare_cached("BEGIN").and_then(|mut sql| sql.execute([]));
            begin().map_err(|source| failed(doing, Arc::new(source)))?;
            read(connection).map_err(|source| failed(doing, Arc::new(source)))
        });
        reading.await.map_err(|_| StoreError::Panicked { doing })?
    }
}

/// A connection that goes back to the others even when its reader panics; before the permit does, so that whoever holds
/// a permit finds one.
struct Lease {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Lease {
    fn take(idle: Arc<Mutex<Vec<Connection>>>) -> Option<Self> {
        let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Self {
            connection: Some(connection),
            idle,
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            if !connection.is_autocommit() {
                // Nothing was written; this only lets go of the snapshot.
                let _ = connection.execute_batch("ROLLBACK");
            }
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}
