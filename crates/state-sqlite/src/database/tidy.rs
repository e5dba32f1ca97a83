//! Giving room on the disk back.
use super::{Database, PATIENCE};
use crate::{StateError, outbox::change};
use rusqlite::Connection;
use std::time::Duration;

/// A file is made smaller when more than one page in this many is free.
const FREE_SHARE: u64 = 4;
/// Free pages that are not worth the work: new rows take them soon.
const FREE_PAGES: u64 = 128;
/// Pages given back in one go, about 20 ms; others write between two.
const STEP: u32 = 1_000;
/// The same on a full disk, where the log of a step must not be longer than the ballast was.
const SHORT_STEP: u32 = 32;

impl Database {
    /// Gives room back that nobody uses: free pages, where they are more than a quarter of the file, and the write-ahead
    /// log. Looks whether a full disk has room again. For the daemon, every so often; others write in between. Says how
    /// many bytes the file and its log became smaller by.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn tidy(&self) -> Result<u64, StateError> {
        let before = self.size();
        match self.settle().and_then(|()| self.shrink()) {
            // There is no room even for giving some back: that is no failure of who asks for it every minute.
            Err(error @ StateError::DiskFull { .. }) => tracing::warn!(%error, "could not give room back"),
            done => done?,
        }
        self.fold_log();
        self.shared().may_have_room();
        Ok(before.saturating_sub(self.size()))
    }

    /// Stores what waits in memory for the next change.
    fn settle(&self) -> Result<(), StateError> {
        if self.is_read_only() {
            return Ok(());
        }
        change::settle(self)?;
        if self.shared().pending().resync.is_some() {
            change::change(self, "ask for a new stream", |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// Gives free pages back, where there are many.
    fn shrink(&self) -> Result<(), StateError> {
        let failed = |error| StateError::doing("give back free pages")(error).with_path(self.path());
        let (mut left, pages) = self.with_writer(|connection| free_pages(connection)).map_err(failed)?;
        if left <= FREE_PAGES || left <= pages / FREE_SHARE {
            return Ok(());
        }
        while left > 0 {
            let is_short = self.shared().is_short();
            let pages = if is_short { SHORT_STEP } else { STEP };
            let step = |connection: &mut Connection| {
                // One step of this statement gives back one page.
                let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                free_pages(connection)
            };
            let (now_left, _) = self.with_writer(step).map_err(failed)?;
            if is_short {
                self.fold_log();
            }
            // What others free meanwhile is for the next time; a file that gives nothing back is left alone.
            if now_left >= left {
                break;
            }
            left = now_left;
        }
        Ok(())
    }

    /// Puts the write-ahead log into the file and makes it empty, unless somebody is reading it. What goes wrong is only
    /// logged: the log stays as it is.
    pub(crate) fn fold_log(&self) {
        let folded = self.with_writer(|connection| {
            connection.busy_timeout(Duration::ZERO)?;
            let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            connection.busy_timeout(PATIENCE)?;
            folded
        });
        if let Err(error) = folded {
            tracing::debug!(%error, "could not put the log into the state file");
        }
    }
}

/// Pages that nobody uses, of how many.
fn free_pages(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let ask = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs));
    Ok((ask("PRAGMA freelist_count")?, ask("PRAGMA page_count")?))
}
