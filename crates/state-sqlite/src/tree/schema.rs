//! The tables of the file tree.
use crate::Component;

/// The undecided entries, alone, for an overlay makes a table of the same form.
pub(super) const UNDECIDED: &str = "CREATE TABLE undecided (
    path BLOB PRIMARY KEY NOT NULL,
    root INTEGER NOT NULL,
    side INTEGER NOT NULL,
    identity BLOB NOT NULL,
    entry BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX undecided_by_identity ON undecided (identity, side, path)";

/// Numbers that may use all 64 bits are stored as the signed number of the same bits.
pub(crate) const COMPONENT: Component = Component {
    name: "tree",
    migrations: &[
        "CREATE TABLE tree_meta (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL) STRICT;
     CREATE TABLE root (
         id INTEGER PRIMARY KEY,
         path BLOB NOT NULL,
         device INTEGER, fs_id INTEGER, fs_type INTEGER, inode INTEGER, birth_ns INTEGER,
         files INTEGER NOT NULL DEFAULT 0,
         accepted INTEGER NOT NULL DEFAULT 0,
         held INTEGER NOT NULL DEFAULT 0,
         completed_ms INTEGER
     ) STRICT;
     CREATE TABLE dir (
         id INTEGER PRIMARY KEY,
         root INTEGER NOT NULL REFERENCES root (id),
         parent INTEGER,
         name BLOB NOT NULL,
         digest BLOB NOT NULL
     ) STRICT;
     CREATE TABLE dir_blob (id INTEGER PRIMARY KEY, entries BLOB NOT NULL, hashes BLOB NOT NULL) STRICT;
     CREATE TABLE undecided (
         path BLOB PRIMARY KEY NOT NULL,
         root INTEGER NOT NULL,
         side INTEGER NOT NULL,
         identity BLOB NOT NULL,
         entry BLOB NOT NULL,
         hash BLOB NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX undecided_by_identity ON undecided (identity, side, path);",
        // Of both rows of a directory; those of before have none and are trusted.
        "ALTER TABLE dir_blob ADD COLUMN crc INTEGER;",
    ],
};
