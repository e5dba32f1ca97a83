//! Rows of the file tables and what they mean.
use super::value::{from_json, optional_nanos, time, unfit, unsigned};
use crate::file::{ChangeAction, FileFacts, LoggedChange, StoredFile};
use fleet_wire::FileKind;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

/// Inserts a file's row or writes all of it anew. By place, because looking names up costs more than binding them.
pub(super) const PUT: &str = "
    INSERT INTO file (agent, path, stream_ordinal, seq, changed_at, kind, size, allocated, mtime_ns, ctime_ns, btime_ns,
                      mime, mode, uid, gid, owner, group_name, inode, device, links, sha256, blake3, tags)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
    ON CONFLICT (agent, path) DO UPDATE SET
        stream_ordinal = excluded.stream_ordinal, seq = excluded.seq, changed_at = excluded.changed_at,
        kind = excluded.kind, size = excluded.size, allocated = excluded.allocated, mtime_ns = excluded.mtime_ns,
        ctime_ns = excluded.ctime_ns, btime_ns = excluded.btime_ns, mime = excluded.mime, mode = excluded.mode,
        uid = excluded.uid, gid = excluded.gid, owner = excluded.owner, group_name = excluded.group_name,
        inode = excluded.inode, device = excluded.device, links = excluded.links, sha256 = excluded.sha256,
        blake3 = excluded.blake3, tags = excluded.tags";

/// The row of one path.
pub(super) fn one(connection: &Connection, agent: i64, path: &[u8]) -> rusqlite::Result<Option<StoredFile>> {
    let mut statement = connection.prepare_cached("SELECT * FROM file WHERE agent = ?1 AND path = ?2")?;
    statement.query_row(params![agent, path], file).optional()
}

pub(super) fn file(row: &Row<'_>) -> rusqlite::Result<StoredFile> {
    let kind: Option<i64> = row.get("kind")?;
    Ok(StoredFile {
        path: row.get("path")?,
        changed_at: time(row, "changed_at")?,
        facts: kind.map(|kind| facts(row, kind)).transpose()?,
    })
}

fn facts(row: &Row<'_>, kind: i64) -> rusqlite::Result<FileFacts> {
    let bits = |column| {
        row.get::<_, Option<i64>>(column)
            .map(|bits| bits.map(i64::cast_unsigned))
    };
    let tags: Option<String> = row.get("tags")?;
    Ok(FileFacts {
        kind: kind_of(kind)?,
        size: unsigned(row, "size")?,
        allocated: bits("allocated")?,
        mtime: optional_nanos(row, "mtime_ns")?,
        ctime: optional_nanos(row, "ctime_ns")?,
        btime: optional_nanos(row, "btime_ns")?,
        mime: row.get("mime")?,
        mode: row.get("mode")?,
        uid: row.get("uid")?,
        gid: row.get("gid")?,
        owner: row.get("owner")?,
        group: row.get("group_name")?,
        inode: bits("inode")?,
        device: bits("device")?,
        links: row.get("links")?,
        sha256: row.get("sha256")?,
        blake3: row.get("blake3")?,
        tags: tags.map_or_else(|| Ok(Vec::new()), |text| from_json(&text))?,
    })
}

pub(super) fn change(row: &Row<'_>) -> rusqlite::Result<LoggedChange> {
    let changed: Option<String> = row.get("changed")?;
    Ok(LoggedChange {
        id: unsigned(row, "id")?,
        time: time(row, "time")?,
        action: action_of(row.get("action")?)?,
        path: row.get("path")?,
        from: row.get("from_path")?,
        changed: changed.map_or_else(|| Ok(Vec::new()), |text| from_json(&text))?,
    })
}

const KINDS: [FileKind; 7] = [
    FileKind::File,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::BlockDevice,
    FileKind::CharDevice,
    FileKind::Other,
];

pub(super) fn kind_code(kind: FileKind) -> i64 {
    match kind {
        FileKind::File => 0,
        FileKind::Symlink => 1,
        FileKind::Fifo => 2,
        FileKind::Socket => 3,
        FileKind::BlockDevice => 4,
        FileKind::CharDevice => 5,
        FileKind::Other => 6,
    }
}

fn kind_of(code: i64) -> rusqlite::Result<FileKind> {
    let known = KINDS.into_iter().find(|kind| kind_code(*kind) == code);
    known.ok_or_else(|| unfit(Type::Integer, format!("{code} is no kind of file").into()))
}

const ACTIONS: [ChangeAction; 4] = [
    ChangeAction::Created,
    ChangeAction::Updated,
    ChangeAction::Moved,
    ChangeAction::Deleted,
];

pub(super) fn action_code(action: ChangeAction) -> i64 {
    match action {
        ChangeAction::Created => 0,
        ChangeAction::Updated => 1,
        ChangeAction::Moved => 2,
        ChangeAction::Deleted => 3,
    }
}

fn action_of(code: i64) -> rusqlite::Result<ChangeAction> {
    let known = ACTIONS.into_iter().find(|action| action_code(*action) == code);
    known.ok_or_else(|| unfit(Type::Integer, format!("{code} is no change").into()))
}
