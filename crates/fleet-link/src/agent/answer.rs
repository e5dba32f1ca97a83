//! How the server answered last, in a table of the state: for whoever asks this machine why something did not arrive.
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension as _;
use serde::Serialize;
use state_sqlite::{Component, Database, rusqlite};

/// The table of the agent itself. Scanners had one of the same form before it was every agent's.
pub(super) const COMPONENT: Component = Component {
    name: "agent",
    migrations: &["CREATE TABLE IF NOT EXISTS server_answer (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         at_ms INTEGER NOT NULL,
         is_good INTEGER NOT NULL,
         text TEXT NOT NULL
     ) STRICT;"],
};

/// How the server answered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it took what it was sent.
    pub is_good: bool,
    /// The same for people.
    pub text: String,
}

/// Writes down how the server answered.
pub(super) fn keep_answer(database: &Database, answer: &Answer) -> anyhow::Result<()> {
    let sql = "INSERT OR REPLACE INTO server_answer (id, at_ms, is_good, text) VALUES (1, ?1, ?2, ?3)";
    database
        .with_writer(|connection| connection.execute(sql, (answer.at.timestamp_millis(), answer.is_good, &answer.text)))
        .context("could not write down the server's answer")?;
    Ok(())
}

/// How the server answered last; `None` where it never did. Blocks on the disk.
///
/// # Errors
/// When the state cannot be read.
pub fn last_answer(database: &Database) -> anyhow::Result<Option<Answer>> {
    let read = |connection: &mut rusqlite::Connection| {
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Answer {
                at: DateTime::from_timestamp_millis(row.get(0)?).unwrap_or_default(),
                is_good: row.get(1)?,
                text: row.get(2)?,
            })
        };
        let sql = "SELECT at_ms, is_good, text FROM server_answer";
        connection.query_row(sql, [], row).optional()
    };
    database.with_writer(read).context("could not read the server's answer")
}
