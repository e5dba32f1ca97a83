//! Making damaged directories harmless.
use super::{read, row::Whole};
use crate::{Database, ResyncReason, StateError, outbox::change};
use core_model::{Digest, DirId, DirUpdate, RootId, StoredDir};
use rusqlite::{Connection, Transaction};

/// How many directories there are, and how many of them are not as they were written.
pub(crate) fn count_damaged(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let found = read::find_damaged(connection)?;
    let damaged = found.damaged.len() + found.orphans.len();
    Ok((found.directories, damaged as u64))
}

/// Makes every damaged directory one of which nothing is known, so that the next scan tells what is in it as new. Where
/// there was one, a resync is wanted: nobody knows what the server was told of it. Says how many there were.
pub(crate) fn mend(database: &Database) -> Result<u64, StateError> {
    let doing = "mend damaged directories";
    let failed = || StateError::doing(doing);
    let found = read::find_damaged(&database.reading()?).map_err(failed())?;
    let count = (found.damaged.len() + found.orphans.len()) as u64;
    if count == 0 {
        return Ok(0);
    }
    tracing::error!(
        directories = count,
        "what is known of directories is damaged on disk; they are looked at anew"
    );
    change::change(database, doing, |transaction, meta| {
        for id in &found.damaged {
            forget(transaction, *id).map_err(failed())?;
        }
        for id in &found.orphans {
            transaction
                .execute("DELETE FROM dir_blob WHERE id = ?1", [id])
                .map_err(failed())?;
        }
        let detail = format!("what was known of {count} directories was damaged on disk");
        meta.want(ResyncReason::Damaged, &detail, chrono::Utc::now());
        Ok(())
    })?;
    Ok(count)
}

/// A directory without entries whose digest no listing has. Its place in the tree stays as it is read.
fn forget(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    let place = transaction
        .prepare_cached("SELECT root, parent, name FROM dir WHERE id = ?1")?
        .query_row([id], |row| {
            Ok(DirUpdate {
                id: DirId(id.cast_unsigned()),
                root: RootId(row.get(0)?),
                parent: row.get::<_, Option<i64>>(1)?.map(|id| DirId(id.cast_unsigned())),
                name: row.get(2)?,
                digest: Digest([0; 16]),
                stored: StoredDir::default(),
            })
        });
    let Ok(place) = place else {
        // Not even its place can be read; below it, the scan finds everything anew.
        transaction.execute("DELETE FROM dir_blob WHERE id = ?1", [id])?;
        transaction.execute("DELETE FROM dir WHERE id = ?1", [id])?;
        return Ok(());
    };
    transaction.execute(
        "UPDATE dir SET digest = ?2 WHERE id = ?1",
        (id, place.digest.0.as_slice()),
    )?;
    transaction.execute(
        "INSERT OR REPLACE INTO dir_blob (id, entries, hashes, crc) VALUES (?1, x'', x'', ?2)",
        (id, Whole::of(&place).checksum()),
    )?;
    Ok(())
}
