//! Storing a batch.
use super::row::Whole;
use crate::StateError;
use core_model::{Batch, DirUpdate, RootUpdate, Undecided, UndecidedUpdate};
use rusqlite::{Connection, params};

/// What a commit does, for its errors.
pub(super) const DOING: &str = "store what the scan found";

/// Stores all of `batch`, within a transaction of the caller's.
pub(super) fn all(transaction: &Connection, batch: &Batch) -> Result<(), StateError> {
    let failed = || StateError::doing(DOING);
    for root in &batch.roots {
        if !put_root(transaction, root).map_err(failed())? {
            return Err(StateError::Refused(
                "a change of a root that is not known and has no path",
            ));
        }
    }
    put_rest(transaction, batch).map_err(failed())
}

fn put_rest(transaction: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    batch.dirs.iter().try_for_each(|dir| put_dir(transaction, dir))?;
    for id in &batch.removed_dirs {
        transaction
            .prepare_cached("DELETE FROM dir WHERE id = ?1")?
            .execute([id.0.cast_signed()])?;
        transaction
            .prepare_cached("DELETE FROM dir_blob WHERE id = ?1")?
            .execute([id.0.cast_signed()])?;
    }
    for root in &batch.removed_roots {
        transaction.execute(
            "DELETE FROM dir_blob WHERE id IN (SELECT id FROM dir WHERE root = ?1)",
            [root.0],
        )?;
        transaction.execute("DELETE FROM dir WHERE root = ?1", [root.0])?;
        transaction.execute("DELETE FROM undecided WHERE root = ?1", [root.0])?;
        transaction.execute("DELETE FROM root WHERE id = ?1", [root.0])?;
    }
    batch
        .undecided
        .iter()
        .try_for_each(|update| put_undecided(transaction, update))
}

/// Only the undecided entries, which an overlay keeps to itself.
pub(super) fn undecided_only(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for root in &batch.removed_roots {
        transaction.execute("DELETE FROM undecided WHERE root = ?1", [root.0])?;
    }
    batch
        .undecided
        .iter()
        .try_for_each(|update| put_undecided(&transaction, update))?;
    transaction.commit()
}

/// Whether there is such a root.
fn put_root(connection: &Connection, update: &RootUpdate) -> rusqlite::Result<bool> {
    let id = update.id.0;
    if let Some(path) = &update.path {
        connection.execute(
            "INSERT INTO root (id, path) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET path = excluded.path",
            (id, path),
        )?;
    }
    if let Some(identity) = &update.identity {
        let of = |field: fn(&core_model::RootIdentity) -> i64| identity.as_ref().map(field);
        connection.execute(
            "UPDATE root SET device = ?2, fs_id = ?3, fs_type = ?4, inode = ?5, birth_ns = ?6 WHERE id = ?1",
            (
                id,
                of(|identity| identity.device.cast_signed()),
                of(|identity| identity.fs_id.cast_signed()),
                of(|identity| identity.fs_type.cast_signed()),
                of(|identity| identity.inode.cast_signed()),
                of(|identity| identity.birth_ns),
            ),
        )?;
    }
    // `coalesce` keeps a column for which the update says nothing.
    let changed = connection.execute(
        "UPDATE root SET files = coalesce(?2, files), accepted = coalesce(?3, accepted), held = coalesce(?4, held),
         completed_ms = coalesce(?5, completed_ms) WHERE id = ?1",
        (
            id,
            update.files.map(u64::cast_signed),
            update.accepted,
            update.held.map(u64::cast_signed),
            update.completed_at.map(|at| at.timestamp_millis()),
        ),
    )?;
    Ok(changed == 1)
}

fn put_dir(connection: &Connection, dir: &DirUpdate) -> rusqlite::Result<()> {
    let id = dir.id.0.cast_signed();
    connection
        .prepare_cached("INSERT OR REPLACE INTO dir (id, root, parent, name, digest) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            id,
            dir.root.0,
            dir.parent.map(|id| id.0.cast_signed()),
            dir.name,
            dir.digest.0.as_slice()
        ])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO dir_blob (id, entries, hashes, crc) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            id,
            dir.stored.entries,
            dir.stored.hashes,
            Whole::of(dir).checksum()
        ])?;
    Ok(())
}

fn put_undecided(connection: &Connection, update: &UndecidedUpdate) -> rusqlite::Result<()> {
    match update {
        UndecidedUpdate::Put(Undecided {
            path,
            root,
            side,
            identity,
            entry,
            hash,
        }) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO undecided (path, root, side, identity, entry, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                path,
                root.0,
                super::read::side_number(*side),
                identity.0.as_slice(),
                entry,
                hash
            ])?,
        UndecidedUpdate::Remove(path) => connection
            .prepare_cached("DELETE FROM undecided WHERE path = ?1")?
            .execute([path])?,
    };
    Ok(())
}
