//! The commands that an agent took, and how they ended: what makes a command run at most once though it is delivered
//! twice.
//!
//! What a command says and how it ended are bytes here. Each row has a checksum; of a damaged one the id is still good
//! enough not to run it again.
mod row;

use crate::{Component, Database, OpenError, StateError};
use chrono::{DateTime, Utc};
use core_model::{CommandId, InstanceId};
use row::Row;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

pub(crate) const COMPONENT: Component = Component {
    name: "commands",
    migrations: &["CREATE TABLE command (
         number INTEGER PRIMARY KEY AUTOINCREMENT,
         id BLOB NOT NULL UNIQUE,
         state INTEGER NOT NULL,
         keep_until_ms INTEGER NOT NULL,
         accepted_ms INTEGER NOT NULL,
         started_ms INTEGER,
         started_by BLOB,
         crc INTEGER NOT NULL,
         body BLOB NOT NULL,
         result BLOB
     ) STRICT;
     CREATE INDEX command_by_state ON command (state, number);"],
};

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandState {
    /// Written down, not begun.
    Accepted,
    /// Begun.
    Started,
    /// Ended, with its result.
    Ended,
    /// The result has arrived where it was to go.
    Confirmed,
}

/// Whether a command was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was not, and is written down now.
    New,
    /// It was, and stands here.
    Before(CommandState),
    /// It was not, and there is no room: as many as are allowed wait for their end or for a confirmation.
    Full,
}

/// A command as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledCommand {
    /// Its id.
    pub id: CommandId,
    /// Where it stands.
    pub state: CommandState,
    /// When it was written down.
    pub accepted_at: DateTime<Utc>,
    /// When it was begun last, and by which start of the process.
    pub started: Option<(DateTime<Utc>, InstanceId)>,
    /// What it says; `None` where the row is damaged on disk.
    pub body: Option<Vec<u8>>,
    /// How it ended, where it has and the row is sound.
    pub result: Option<Vec<u8>>,
}

/// The journal of commands in a state file. Clones are the same. Every call may block on the disk, and what it says is
/// durable when it returns.
#[derive(Clone, Debug)]
pub struct CommandJournal {
    database: Database,
}

impl CommandJournal {
    /// The journal of a state file, made if it is not there.
    ///
    /// # Errors
    /// When its tables are newer than this program, or SQLite fails.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        database.migrate(&[COMPONENT])?;
        Ok(Self {
            database: database.clone(),
        })
    }

    /// Writes a command down, unless it was before or `max_open` are without a confirmation. It is remembered until
    /// `keep_until` at least, so that a repeat before that is known for one.
    ///
    /// # Errors
    /// When SQLite fails; the command is not taken then.
    pub fn accept(
        &self,
        id: CommandId,
        body: &[u8],
        keep_until: DateTime<Utc>,
        max_open: u64,
        now: DateTime<Utc>,
    ) -> Result<Seen, StateError> {
        self.change("write a command into the journal", |transaction| {
            if let Some((_, row)) = find(transaction, id)? {
                return Ok(Seen::Before(row.state));
            }
            let open: i64 = transaction
                .prepare_cached("SELECT count(*) FROM command WHERE state < ?1")?
                .query_row([row::number(CommandState::Confirmed)], |row| row.get(0))?;
            if open.unsigned_abs() >= max_open {
                return Ok(Seen::Full);
            }
            Row::accepted(id, body, keep_until, now).insert(transaction)?;
            Ok(Seen::New)
        })
    }

    /// Says that a command is begun, by this start of the process. One that was begun before is begun again. `false`
    /// where it is not there or has ended: then it must not run.
    ///
    /// # Errors
    /// When SQLite fails; the command must not run then.
    pub fn start(&self, id: CommandId, by: InstanceId, now: DateTime<Utc>) -> Result<bool, StateError> {
        self.change("note the beginning of a command", |transaction| {
            let Some((number, mut row)) = find(transaction, id)? else {
                return Ok(false);
            };
            if row.state > CommandState::Started || !row.is_sound {
                return Ok(false);
            }
            row.state = CommandState::Started;
            row.started = Some((now.timestamp_millis(), by));
            row.update(transaction, number)?;
            Ok(true)
        })
    }

    /// Says how a command ended, whether it was begun or not. `false` where it is not there or had ended before: the
    /// first end counts.
    ///
    /// # Errors
    /// When SQLite fails; the command has not ended then.
    pub fn end(&self, id: CommandId, result: &[u8]) -> Result<bool, StateError> {
        self.change("note the end of a command", |transaction| {
            let Some((number, mut row)) = find(transaction, id)? else {
                return Ok(false);
            };
            // Of a damaged row the state is as doubtful as the rest, and an end that is stored twice does no harm.
            if row.state >= CommandState::Ended && row.is_sound {
                return Ok(false);
            }
            row.state = CommandState::Ended;
            row.result = Some(result.to_vec());
            row.update(transaction, number)?;
            Ok(true)
        })
    }

    /// Says that a result has arrived, and forgets all confirmed commands but the `keep` newest and those that a repeat
    /// could still bring (see [`accept`](Self::accept)). `false` where the command is not there or has no result.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn confirm(&self, id: CommandId, keep: u32, now: DateTime<Utc>) -> Result<bool, StateError> {
        self.change("note that a result has arrived", |transaction| {
            let found = find(transaction, id)?;
            let is_ended = found.as_ref().is_some_and(|(_, row)| row.state >= CommandState::Ended);
            if let Some((number, mut row)) = found
                && row.state == CommandState::Ended
            {
                row.state = CommandState::Confirmed;
                row.update(transaction, number)?;
            }
            transaction
                .prepare_cached(
                    "DELETE FROM command WHERE state = ?1 AND keep_until_ms < ?2 AND number NOT IN
                     (SELECT number FROM command WHERE state = ?1 ORDER BY number DESC LIMIT ?3)",
                )?
                .execute((
                    row::number(CommandState::Confirmed),
                    now.timestamp_millis(),
                    i64::from(keep),
                ))?;
            Ok(is_ended)
        })
    }

    /// A command by its id.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn get(&self, id: CommandId) -> Result<Option<JournaledCommand>, StateError> {
        self.database
            .with_writer(|connection| find(connection, id))
            .map(|found| found.map(|(_, row)| row.into_command()))
            .map_err(StateError::doing("look for a command in the journal"))
    }

    /// Every command whose result was not confirmed, in the order in which they were written down.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn unconfirmed(&self) -> Result<Vec<JournaledCommand>, StateError> {
        let read = |connection: &mut Connection| {
            let sql = format!("{} WHERE state < ?1 ORDER BY number", row::SELECT);
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([row::number(CommandState::Confirmed)], |row| {
                Row::read(row).map(|(_, row)| row.into_command())
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        self.database
            .with_writer(read)
            .map_err(StateError::doing("read the journal of commands"))
    }

    fn change<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let done = self.database.with_writer(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.map_err(|error| StateError::doing(doing)(error).with_path(self.database.path()))
    }
}

fn find(connection: &Connection, id: CommandId) -> rusqlite::Result<Option<(i64, Row)>> {
    connection
        .prepare_cached(&format!("{} WHERE id = ?1", row::SELECT))?
        .query_row([id.as_uuid().as_bytes().as_slice()], Row::read)
        .optional()
}
