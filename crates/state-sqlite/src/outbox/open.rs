//! Opening the outbox: its first stream, and whether the state went back in time.
use super::{COMPONENT, Meta, Outbox, Resync, ResyncReason, Unusable, change, meta::new_stream, stream::empty};
use crate::{Database, OpenError, StateError, recover};
use chrono::{DateTime, Utc};
use rusqlite::TransactionBehavior;
use std::io::ErrorKind;

impl Outbox {
    /// The outbox of a state file; its stream is made with it, and a resync is wanted then. Of a state that is only
    /// read, it can be looked at.
    ///
    /// A state that stands at an earlier instant than the mark beside it says is not trusted with the numbers it would
    /// give again: it gets another stream, empty, and a resync is wanted.
    ///
    /// # Errors
    /// When the file's tables are newer than this program, its numbering is damaged, or SQLite fails.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        Self::open_for(database, ResyncReason::First, "")
    }

    /// The same, where a stream that is made has this reason.
    pub(crate) fn open_for(database: &Database, reason: ResyncReason, detail: &str) -> Result<Self, OpenError> {
        database.migrate(&[COMPONENT])?;
        // Read before the file: another handle may be writing both, and the mark always comes after.
        let mark = database.shared().mark.read();
        let failed = |error: rusqlite::Error| crate::database::damaged_or(database.path(), "read", error);
        let read = || match database.with_writer(|connection| Meta::read(connection)) {
            Ok(meta) => Ok(Some(meta)),
            Err(Unusable::Missing) => Ok(None),
            Err(Unusable::Damaged) => Err(OpenError::Corrupt {
                path: database.path().to_owned(),
                detail: "the numbering of the outbox does not match its checksum".to_owned(),
            }),
            Err(Unusable::Sqlite(error)) => Err(failed(error)),
        };
        let (meta, is_made) = match read()? {
            Some(meta) => (meta, false),
            None => {
                make(database, reason, detail)?;
                (
                    read()?.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?,
                    true,
                )
            }
        };
        let shared = database.shared();
        shared.set_stream(meta.stream);
        let outbox = Self {
            database: database.clone(),
            opened: meta.stream,
        };
        if database.is_read_only() {
            return Ok(outbox);
        }
        let position = change::position(&meta);
        // A state that is new has nothing to go back from, whatever lies beside it.
        if let Some(mark) = mark.filter(|mark| !is_made && mark.is_ahead_of(&position)) {
            let why = format!(
                "the state stands at number {} of stream {}, and {} of stream {} was given already",
                position.next_seq - 1,
                position.stream,
                mark.next_seq - 1,
                mark.stream
            );
            tracing::error!(path = %database.path().display(), "the state went back in time: {why}");
            restart(database, ResyncReason::RolledBack, &why, Utc::now())
                .map_err(|error| recover::in_opening(database.path(), error))?;
            shared.set_rolled_back(why);
        } else {
            shared.mark.write(&position);
        }
        if !shared.ballast.is_there()
            && let Err(error) = shared.ballast.make()
        {
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                shared.was_short();
            } else {
                tracing::warn!(%error, "could not make the ballast beside the state");
            }
        }
        Ok(outbox)
    }
}

/// Makes the numbering of a state that has none.
fn make(database: &Database, reason: ResyncReason, detail: &str) -> Result<(), OpenError> {
    let stream = new_stream(None, Utc::now()).map_err(|source| OpenError::Random {
        path: database.path().to_owned(),
        source,
    })?;
    let since = DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap_or_default();
    let resync = Resync {
        reason,
        detail: detail.to_owned(),
        since,
    };
    let made = database.with_writer(|connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again under the lock: another process may have been quicker.
        if matches!(Meta::read(&transaction), Err(Unusable::Missing)) {
            // Whatever a lost numbering left behind would stand in the way of the new numbers.
            transaction.execute("DELETE FROM outbox", [])?;
            Meta::fresh(stream, resync).store(&transaction)?;
        }
        transaction.commit()
    });
    made.map_err(|error| crate::database::damaged_or(database.path(), "set up", error))
}

/// Another stream, empty, for a state whose numbers cannot be trusted.
pub(crate) fn restart(
    database: &Database,
    reason: ResyncReason,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), StateError> {
    change::change(database, "begin another stream", |transaction, meta| {
        empty(transaction, meta, now)?;
        // What brought the state here weighs more than what was wanted before.
        meta.resync = None;
        meta.want(reason, detail, now);
        Ok(())
    })
}
