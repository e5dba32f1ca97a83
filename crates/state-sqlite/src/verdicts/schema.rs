//! The tables of the verdicts.
use crate::Component;

/// Times are not part of a row's checksum: a wrong one costs a verdict, and gives none. The bases have no index that could
/// say otherwise than they do; they are few.
pub(crate) const COMPONENT: Component = Component {
    name: "verdicts",
    migrations: &["CREATE TABLE verdict_basis (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         engine TEXT NOT NULL,
         signatures TEXT NOT NULL,
         limits TEXT NOT NULL,
         first_ms INTEGER NOT NULL,
         last_ms INTEGER NOT NULL,
         crc INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE verdict (
         volume INTEGER NOT NULL,
         inode INTEGER NOT NULL,
         part INTEGER NOT NULL,
         seen_s INTEGER NOT NULL,
         crc INTEGER NOT NULL,
         entries BLOB NOT NULL,
         PRIMARY KEY (volume, inode, part)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE verdict_total (id INTEGER PRIMARY KEY CHECK (id = 1), bytes INTEGER NOT NULL) STRICT;
     INSERT INTO verdict_total VALUES (1, 0);"],
};
