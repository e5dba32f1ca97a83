//! An agent's state in one SQLite file: migrations, checks, backups and recovery, the outbox, the journals of changes and of
//! commands, and the tables of known files and of verdicts about files.
//!
//! It knows no product's policy and none of the tables that one product alone needs: those stand with the product, on
//! [`Database::with_writer`] and [`Component`]. It starts no thread and no task; every call may block on the disk.
//!
//! ```
//! use core_model::KnownTree;
//! use state_sqlite::{Database, OpenOptions, Outbox, SqliteTree};
//! # let dir = tempfile::tempdir().unwrap();
//! let database = Database::open(&dir.path().join("state.db"), OpenOptions::default()).unwrap();
//! let tree = SqliteTree::open(&database).unwrap();
//! let outbox = Outbox::open(&database).unwrap();
//! assert!(tree.roots().unwrap().is_empty());
//! assert_eq!(Outbox::stats_of(&database).unwrap().records, 0);
//! # let _ = outbox;
//! ```
mod backup;
mod ballast;
mod commands;
mod database;
mod error;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod journal;
mod lock;
mod mark;
mod migrate;
mod outbox;
mod recover;
mod tree;
mod verdicts;

pub use backup::{Backup, Backups};
pub use commands::{CommandJournal, CommandState, JournaledCommand, Seen};
pub use database::{Database, Deep, OpenOptions};
pub use error::{BackupError, LockError, OpenError, StateError};
pub use files::remove;
pub use journal::Journal;
pub use lock::RunLock;
pub use migrate::Component;
pub use outbox::{Bounds, Outbox, ParseWhenFullError, Resync, ResyncReason, SnapshotState, Told, WhenFull};
pub use recover::{Story, open_or_recover, restore_from};
pub use rusqlite;
pub use tree::{SqliteTree, SqliteTreeReader, Targets, find_dir};
pub use verdicts::{
    Basis, BasisFacts, BasisId, Census, DirKey, FileFacts, Found, Judged, Judgement, KnownVerdicts, Recalled,
    Remembered, Share, VerdictOptions, VerdictReader, Verdicts,
};
