//! Connections beside the one that writes.
use super::{PATIENCE, damaged_or, sqlite};
use crate::{
    OpenError,
    files::{LOG, beside},
};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// What a connection beside the writer may write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Look,
    /// Temporary tables.
    Scratch,
}

pub(super) fn open_reader(path: &Path, access: Access, cache_kib: u32) -> Result<Connection, OpenError> {
    // A reader of a WAL file needs the log. Where it is there, a read-only connection uses it, and a log that a crash left
    // stays for the agent. Where it is not, a read-only connection would make it and could never remove it again; one that
    // could write removes it when it is the last to close.
    let mode = if beside(path, LOG).exists() {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    };
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite(path, "open"))?;
    let set = || {
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch("PRAGMA mmap_size=0; PRAGMA temp_store=FILE;")?;
        connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
        connection.pragma_update(None, "query_only", access == Access::Look)
    };
    set().map_err(|error| damaged_or(path, "set up", error))?;
    Ok(connection)
}
