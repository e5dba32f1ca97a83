//! Forgetting directories, the longest unseen first.
use super::write::ROW_BYTES;
use rusqlite::Connection;

/// Bytes of all rows.
pub(super) fn total(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT bytes FROM verdict_total";
    connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Forgets rows that were not seen since `before_s`, and counts what is left anew. Says how many rows went.
pub(super) fn forget_unseen(connection: &Connection, before_s: i64) -> rusqlite::Result<u64> {
    let gone = connection.execute("DELETE FROM verdict WHERE seen_s < ?1", [before_s])?;
    connection.execute(
        "UPDATE verdict_total SET bytes = (SELECT coalesce(sum(length(entries) + ?1), 0) FROM verdict)",
        [ROW_BYTES.cast_signed()],
    )?;
    Ok(gone as u64)
}

/// Where rows take more than `most` bytes, forgets those not seen for the longest until they take a tenth less than that,
/// lest each change forget again. Says how many rows went.
pub(super) fn forget_over(connection: &Connection, most: u64) -> rusqlite::Result<u64> {
    let bytes = total(connection)?;
    if bytes <= most {
        return Ok(0);
    }
    let mut left = bytes.saturating_sub(most - most / 10);
    let mut statement = connection
        .prepare("SELECT volume, inode, part, length(entries) FROM verdict ORDER BY seen_s, volume, inode")?;
    let mut rows = statement.query([])?;
    let mut gone = Vec::new();
    let mut freed = 0_u64;
    while let Some(row) = rows.next()? {
        if left == 0 {
            break;
        }
        let key: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let bytes = row.get::<_, i64>(3)?.unsigned_abs() + ROW_BYTES;
        gone.push(key);
        freed += bytes;
        left = left.saturating_sub(bytes);
    }
    let mut delete = connection.prepare_cached("DELETE FROM verdict WHERE volume = ?1 AND inode = ?2 AND part = ?3")?;
    for key in &gone {
        delete.execute(*key)?;
    }
    connection.execute(
        "UPDATE verdict_total SET bytes = max(bytes - ?1, 0)",
        [freed.cast_signed()],
    )?;
    Ok(gone.len() as u64)
}
