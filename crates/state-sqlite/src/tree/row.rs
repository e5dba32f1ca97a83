//! A directory's two rows as a whole, and their checksum.
use core_model::{Digest, DirId, DirUpdate, KnownDir, RootId, StoredDir};
use rusqlite::Row;

/// What is handed out as the entries of a directory that is damaged: one byte that no packed form of entries consists of,
/// so that whoever unpacks them finds damage and not an empty directory.
pub(super) const DAMAGED: &[u8] = &[0xff];

/// Both rows of a directory. What was read may be anything of the right types.
pub(super) struct Whole<'a> {
    id: i64,
    root: u32,
    parent: Option<i64>,
    name: &'a [u8],
    digest: &'a [u8],
    entries: &'a [u8],
    hashes: &'a [u8],
}

impl<'a> Whole<'a> {
    /// What to select from `dir` and `dir_blob`, for [`of_row`](Self::of_row).
    pub(super) const COLUMNS: &'static str = "dir.id, root, parent, name, digest, entries, hashes, crc";

    pub(super) fn of(dir: &'a DirUpdate) -> Self {
        Self {
            id: dir.id.0.cast_signed(),
            root: dir.root.0,
            parent: dir.parent.map(|id| id.0.cast_signed()),
            name: &dir.name,
            digest: &dir.digest.0,
            entries: &dir.stored.entries,
            hashes: &dir.stored.hashes,
        }
    }

    /// Reads it, and whether it is as it was written; `None` when a value is not even of its type.
    pub(super) fn of_row(row: &'a Row<'_>) -> Option<(Self, bool)> {
        let blob = |column| row.get_ref(column).ok()?.as_blob().ok();
        let whole = Self {
            id: row.get(0).ok()?,
            root: row.get(1).ok()?,
            parent: row.get(2).ok()?,
            name: blob(3)?,
            digest: blob(4)?,
            entries: blob(5)?,
            hashes: blob(6)?,
        };
        // A row of an older version has none.
        let crc: Option<i64> = row.get(7).ok()?;
        let is_sound = crc.is_none_or(|crc| crc == whole.checksum());
        Some((whole, is_sound))
    }

    pub(super) fn checksum(&self) -> i64 {
        // Lengths first, so that no byte can change sides between two of the blobs.
        let numbers = [
            self.id,
            i64::from(self.root),
            i64::from(self.parent.is_some()),
            self.parent.unwrap_or(0),
            self.name.len() as i64,
            self.digest.len() as i64,
            self.entries.len() as i64,
        ];
        let sum = numbers
            .iter()
            .fold(0, |crc, number| crc32c::crc32c_append(crc, &number.to_le_bytes()));
        let blobs = [self.name, self.digest, self.entries, self.hashes];
        i64::from(blobs.iter().fold(sum, |crc, blob| crc32c::crc32c_append(crc, blob)))
    }

    pub(super) fn known(&self) -> Option<KnownDir<'a>> {
        Some(KnownDir {
            id: DirId(self.id.cast_unsigned()),
            root: RootId(self.root),
            parent: self.parent.map(|id| DirId(id.cast_unsigned())),
            name: self.name,
            digest: Digest(self.digest.try_into().ok()?),
        })
    }

    pub(super) fn stored(&self) -> StoredDir {
        StoredDir {
            entries: self.entries.to_vec(),
            hashes: self.hashes.to_vec(),
        }
    }
}

/// What stands for the blobs of a damaged directory.
pub(super) fn damaged() -> StoredDir {
    StoredDir {
        entries: DAMAGED.to_vec(),
        hashes: Vec::new(),
    }
}
