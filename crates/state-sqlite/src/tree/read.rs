//! Reading the file tables.
use super::row::{self, Whole};
use crate::{Database, ResyncReason, StateError};
use chrono::DateTime;
use core_model::{
    Digest, DirId, Identity, KnownDir, KnownRoot, RootId, RootIdentity, Side, StoredDir, TreeReader, Undecided,
};
use rusqlite::{Connection, OptionalExtension, Row};

/// Reads directories beside the writer.
///
/// A directory whose rows do not match their checksum is handed out with entries that are no packed entries at all, so
/// that whoever unpacks them treats it as damaged; a resync is wanted with the next commit, since nobody knows any more
/// what the server was told of it.
pub struct SqliteTreeReader {
    database: Database,
    connection: Connection,
}

impl SqliteTreeReader {
    pub(super) fn new(database: Database, connection: Connection) -> Self {
        Self { database, connection }
    }
}

impl TreeReader for SqliteTreeReader {
    type Error = StateError;

    fn directory(&mut self, id: DirId) -> Result<Option<StoredDir>, StateError> {
        let read = || -> rusqlite::Result<_> {
            let sql = format!(
                "SELECT {} FROM dir JOIN dir_blob ON dir_blob.id = dir.id WHERE dir.id = ?1",
                Whole::COLUMNS
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let row = |row: &Row<'_>| {
                Ok(match Whole::of_row(row) {
                    Some((whole, true)) => whole.stored(),
                    _ => found_damaged(&self.database, id),
                })
            };
            statement.query_row([id.0.cast_signed()], row).optional()
        };
        read().map_err(StateError::doing("read a directory"))
    }
}

fn found_damaged(database: &Database, id: DirId) -> StoredDir {
    tracing::error!(
        directory = id.0,
        "what is known of a directory is damaged on disk; it is looked at anew"
    );
    database.shared().want_later(
        ResyncReason::Damaged,
        format!("what was known of directory {} was damaged on disk", id.0),
    );
    row::damaged()
}

pub(super) fn key(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    connection
        .query_row("SELECT key FROM tree_meta", [], |row| row.get(0))
        .optional()
}

pub(super) fn roots(connection: &Connection) -> rusqlite::Result<Vec<KnownRoot>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, path, device, fs_id, fs_type, inode, birth_ns, files, accepted, held, completed_ms
         FROM root ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        let number = |column| row.get::<_, Option<i64>>(column);
        let identity = match (number(2)?, number(3)?, number(4)?, number(5)?, number(6)?) {
            (Some(device), Some(fs_id), Some(fs_type), Some(inode), Some(birth_ns)) => Some(RootIdentity {
                device: device.cast_unsigned(),
                fs_id: fs_id.cast_unsigned(),
                fs_type: fs_type.cast_unsigned(),
                inode: inode.cast_unsigned(),
                birth_ns,
            }),
            _ => None,
        };
        Ok(KnownRoot {
            id: RootId(row.get(0)?),
            path: row.get(1)?,
            identity,
            files: row.get::<_, i64>(7)?.cast_unsigned(),
            accepted: row.get(8)?,
            held: row.get::<_, i64>(9)?.cast_unsigned(),
            completed_at: number(10)?.and_then(DateTime::from_timestamp_millis),
        })
    })?;
    rows.collect()
}

const DIRECTORIES: &str = "SELECT id, root, parent, name, digest FROM dir ORDER BY id";

fn known_dir<'a>(row: &'a Row<'_>) -> rusqlite::Result<KnownDir<'a>> {
    Ok(KnownDir {
        id: DirId(row.get::<_, i64>(0)?.cast_unsigned()),
        root: RootId(row.get(1)?),
        parent: row.get::<_, Option<i64>>(2)?.map(|id| DirId(id.cast_unsigned())),
        name: row.get_ref(3)?.as_blob()?,
        digest: Digest(row.get(4)?),
    })
}

pub(super) fn directories(connection: &Connection, each: &mut dyn FnMut(KnownDir<'_>)) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(DIRECTORIES)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(known_dir(row)?);
    }
    Ok(())
}

pub(super) fn with_blobs<E: From<StateError>>(
    database: &Database,
    connection: &Connection,
    each: &mut dyn FnMut(KnownDir<'_>, StoredDir) -> Result<(), E>,
) -> Result<(), E> {
    let failed = || StateError::doing("read the directories");
    let mut statement = connection.prepare(&every_whole()).map_err(failed())?;
    let mut rows = statement.query([]).map_err(failed())?;
    while let Some(row) = rows.next().map_err(failed())? {
        let Some((whole, is_sound)) = Whole::of_row(row) else {
            continue;
        };
        let Some(known) = whole.known() else { continue };
        let stored = if is_sound {
            whole.stored()
        } else {
            found_damaged(database, known.id)
        };
        each(known, stored)?;
    }
    Ok(())
}

fn every_whole() -> String {
    format!(
        "SELECT {} FROM dir JOIN dir_blob ON dir_blob.id = dir.id ORDER BY dir.id",
        Whole::COLUMNS
    )
}

/// What of the stored directories is not as it was written.
pub(super) struct Found {
    pub(super) directories: u64,
    /// Those whose checksum does not match, or that have lost their blobs.
    pub(super) damaged: Vec<i64>,
    /// Blobs that have lost their directory.
    pub(super) orphans: Vec<i64>,
}

pub(super) fn find_damaged(connection: &Connection) -> rusqlite::Result<Found> {
    let sql = format!(
        "SELECT {} FROM dir LEFT JOIN dir_blob ON dir_blob.id = dir.id ORDER BY dir.id",
        Whole::COLUMNS
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let (mut directories, mut damaged) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        directories += 1;
        if !matches!(Whole::of_row(row), Some((_, true))) {
            damaged.push(row.get(0)?);
        }
    }
    let mut orphans = connection.prepare("SELECT id FROM dir_blob WHERE id NOT IN (SELECT id FROM dir)")?;
    let orphans = orphans.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Found {
        directories,
        damaged,
        orphans,
    })
}

pub(super) fn side_number(side: Side) -> i64 {
    match side {
        Side::Gone => 0,
        Side::New => 1,
    }
}

fn side_of(number: i64) -> Side {
    if number == 0 { Side::Gone } else { Side::New }
}

fn undecided(row: &Row<'_>) -> rusqlite::Result<Undecided> {
    Ok(Undecided {
        path: row.get(0)?,
        root: RootId(row.get(1)?),
        side: side_of(row.get(2)?),
        identity: Identity(row.get(3)?),
        entry: row.get(4)?,
        hash: row.get(5)?,
    })
}

pub(super) fn undecided_at(connection: &Connection, path: &[u8]) -> rusqlite::Result<Option<Undecided>> {
    connection
        .prepare_cached("SELECT path, root, side, identity, entry, hash FROM undecided WHERE path = ?1")?
        .query_row([path], undecided)
        .optional()
}

pub(super) fn undecided_after(
    connection: &Connection,
    after: Option<&Undecided>,
    limit: usize,
) -> rusqlite::Result<Vec<Undecided>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let order = "ORDER BY identity, side, path LIMIT";
    let columns = "SELECT path, root, side, identity, entry, hash FROM undecided";
    match after {
        None => {
            let mut statement = connection.prepare_cached(&format!("{columns} {order} ?1"))?;
            statement.query_map([limit], undecided)?.collect()
        }
        Some(after) => {
            let from = "WHERE (identity, side, path) > (?1, ?2, ?3)";
            let mut statement = connection.prepare_cached(&format!("{columns} {from} {order} ?4"))?;
            let key = (after.identity.0.as_slice(), side_number(after.side), &after.path, limit);
            statement.query_map(key, undecided)?.collect()
        }
    }
}

pub(super) fn undecided_counts(connection: &Connection) -> rusqlite::Result<Vec<(RootId, Side, u64)>> {
    let mut statement =
        connection.prepare_cached("SELECT root, side, count(*) FROM undecided GROUP BY root, side ORDER BY 1, 2")?;
    let row = |row: &Row<'_>| {
        Ok((
            RootId(row.get(0)?),
            side_of(row.get(1)?),
            row.get::<_, i64>(2)?.cast_unsigned(),
        ))
    };
    statement.query_map([], row)?.collect()
}
