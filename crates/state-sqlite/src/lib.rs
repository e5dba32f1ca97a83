//! An agent's state in one SQLite file: migrations, checks, the outbox, and the tables of known files.
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
mod database;
mod error;
mod files;
mod lock;
mod migrate;
mod outbox;
mod tree;

pub use database::{Database, OpenOptions};
pub use error::{LockError, OpenError, StateError};
pub use lock::RunLock;
pub use migrate::Component;
pub use outbox::Outbox;
pub use rusqlite;
pub use tree::{SqliteTree, SqliteTreeReader, find_dir};
