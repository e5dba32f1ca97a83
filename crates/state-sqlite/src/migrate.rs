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

/// Brings the tables of `components` up to date. Where they are, nothing is written and no writer is waited for.
pub(crate) fn run(connection: &mut Connection, path: &Path, components: &[Component]) -> Result<(), OpenError> {
    let failed = |error| crate::database::damaged_or(path, "bring up to date", error);
    if lacking(connection, path, components)?.is_empty() {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS component (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT")
        .map_err(failed)?;
    // Asked again under the lock: another process may have been quicker.
    for (Component { name, migrations }, found) in lacking(&transaction, path, components)? {
        for migration in &migrations[found..] {
            transaction.execute_batch(migration).map_err(failed)?;
        }
        transaction
            .execute(
                "INSERT OR REPLACE INTO component (name, version) VALUES (?1, ?2)",
                (name, i64::try_from(migrations.len()).unwrap_or(i64::MAX)),
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Whether the tables of `components` are up to date, where they cannot be changed.
pub(crate) fn verify(connection: &Connection, path: &Path, components: &[Component]) -> Result<(), OpenError> {
    match lacking(connection, path, components)?.first() {
        None => Ok(()),
        Some((component, found)) => Err(OpenError::Outdated {
            path: path.to_owned(),
            component: component.name.to_owned(),
            found: *found,
            known: component.migrations.len(),
        }),
    }
}

/// Whether the file has tables of an older version of any of `components`.
pub(crate) fn is_older(connection: &Connection, path: &Path, components: &[Component]) -> Result<bool, OpenError> {
    Ok(lacking(connection, path, components)?
        .iter()
        .any(|(_, found)| *found > 0))
}

/// The components that are older in the file than here, with their versions there.
fn lacking(
    connection: &Connection,
    path: &Path,
    components: &[Component],
) -> Result<Vec<(Component, usize)>, OpenError> {
    let failed = |error| crate::database::damaged_or(path, "read the versions in", error);
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'component'";
    let has_versions: bool = connection.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
    let mut lacking = Vec::new();
    for component in components {
        let sql = "SELECT version FROM component WHERE name = ?1";
        let mut found = None;
        if has_versions {
            found = connection
                .query_row(sql, [component.name], |row| row.get::<_, u32>(0))
                .optional()
                .map_err(failed)?;
        }
        let (found, known) = (found.unwrap_or(0) as usize, component.migrations.len());
        if found > known {
            return Err(OpenError::TooNew {
                path: path.to_owned(),
                component: component.name.to_owned(),
                found,
                known,
            });
        }
        if found < known {
            lacking.push((*component, found));
        }
    }
    Ok(lacking)
}
