//! Walks file systems and tells exactly what changed against a known tree: files created, updated, moved and deleted.
//!
//! It does *not* store anything: what is remembered lives behind [`core_model::KnownTree`], and records are made by the
//! caller's [`Encoder`]. It sends nothing, keeps no schedule, and reads contents only where hashing or MIME types by
//! content are asked for.
//!
//! [`walk()`] is for whoever does something with each file and compares with nothing: it shows every directory to a
//! [`Visitor`], with a reason for each name that is left out.
//!
//! `watch` (a feature) tells which files are written while it runs.
//!
//! ```
//! use fsscan::{NoObserver, NoRecords, RootRequest, ScanRequest, scan, testing::MemoryTree};
//! use std::sync::atomic::AtomicBool;
//!
//! let dir = tempfile::tempdir()?;
//! std::fs::write(dir.path().join("a.txt"), "hello")?;
//! let request = ScanRequest::new(vec![RootRequest::new(dir.path())]);
//! let mut tree = MemoryTree::default();
//! let now = chrono::Utc::now();
//! let stop = AtomicBool::new(false);
//! let first = scan(&mut tree, &request, &mut NoRecords, &NoObserver, now, &stop)?;
//! assert_eq!((first.created, first.bytes), (1, 5));
//! std::fs::rename(dir.path().join("a.txt"), dir.path().join("b.txt"))?;
//! let second = scan(&mut tree, &request, &mut NoRecords, &NoObserver, now, &stop)?;
//! assert_eq!((second.moved, second.created, second.deleted), (1, 0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod accept;
mod begin;
mod change;
mod codec;
mod compare;
mod content;
mod context;
mod entry;
mod explain;
mod finish;
mod found_rules;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hashes;
mod links;
mod listing;
#[cfg(unix)]
mod mounts;
mod names;
mod out;
mod queue;
mod quick_rules;
mod record;
mod request;
mod resolve;
mod roots;
mod rules;
mod scan;
mod summary;
mod sys;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod undecided;
mod vanish;
mod varint;
mod walk;
mod walker;
#[cfg(feature = "watch")]
pub mod watch;
mod worker;
mod writer;

pub use accept::{Accepted, accept};
pub use change::{Change, Encoder, FileMeta, NoObserver, NoRecords, Observer};
pub use codec::{DamagedEntries, EntryIter, decode_entries};
pub use entry::{Changed, Entry, FileKind};
pub use explain::{Explanation, Rule, Verdict, explain};
pub use hashes::{Algorithm, ContentHash, KnownContent, decode_hashes};
#[cfg(unix)]
pub use mounts::Mount;
pub use request::{Hold, MimeOptions, Mode, RootRequest, ScanRequest};
pub use rules::{PatternError, RuleMatch, Rules};
pub use scan::{ScanError, scan};
pub use summary::{ErrorKind, PathError, Progress, RootOutcome, RootSummary, Summary, Unconfigured};
pub use walk::{
    Coverage, Directory, Enter, Entering, FileStat, FileSystem, KeptDir, Ledger, LeftOut, NotWalked, OpenFileError,
    Reason, Tally, Visitor, WalkError, WalkRequest, WalkSummary, WalkedFile, WalkedRoot, walk,
};
