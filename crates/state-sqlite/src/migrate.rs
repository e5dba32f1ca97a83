//! Tables come in components, each with versions of its own.
use crate::OpenError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;

/// A part of the schema. Version n is what the first n migrations make; a migration that was released never changes.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// Its name in the file.
    pub name: &'static str,
    /// SQL, in order.
    pub migrations: &'static [&'static str],
}

pub(crate) fn run(connection: &mut Connection, path: &Path, components: &[Component]) -> Result<(), OpenError> {
    let failed = |source| OpenError::Sqlite {
        path: path.to_owned(),
        doing: "bring up to date",
        source,
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS component (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT")
        .map_err(failed)?;
    for Component { name, migrations } in components {
        let found: Option<u32> = transaction
            .query_row("SELECT version FROM component WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
            .map_err(failed)?;
        let (found, known) = (found.unwrap_or(0) as usize, migrations.len());
        if found > known {
            return Err(OpenError::TooNew {
                path: path.to_owned(),
                component: (*name).to_owned(),
                found,
                known,
            });
        }
        for migration in &migrations[found..] {
            transaction.execute_batch(migration).map_err(failed)?;
        }
        transaction
            .execute(
                "INSERT OR REPLACE INTO component (name, version) VALUES (?1, ?2)",
                (name, i64::try_from(known).unwrap_or(i64::MAX)),
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}
