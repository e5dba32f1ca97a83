//! Verdicts about files that need not be found again while the files stay as they are.
//!
//! A verdict holds for a file in whose inode, size, mtime, ctime and birth time nothing moved since it was judged, while
//! what it was judged by, its [`Basis`], is in use. By another basis it is *aged*: known still, and for the caller to
//! have found anew when there is time. Nothing that is remembered says that a file is infected.
//!
//! # What shows that a content changed
//!
//! Each of these moves the ctime, which nobody can set back but with the clock: writing, truncating, setting times,
//! changing modes or owners, linking and renaming (a file renamed over another has another inode besides). Two things
//! would not show, and verdicts that they could make wrong are not remembered:
//!
//! - A change within the grain of the clock that stamps files (some milliseconds; a second or two on old file systems). A
//!   file whose ctime or mtime is less than two seconds older than the beginning of its reading is *unsettled*.
//! - A store through a shared mapping. The kernel stamps the first store into a clean page; until the page is written to
//!   its disk, further stores move nothing, and neither do `msync`, `munmap` and `close`. Tried on ext4 (Linux 6.18):
//!
//!   | store | ctime |
//!   | --- | --- |
//!   | first into a page | moves |
//!   | another into the same page, at any time before it is written back | stays |
//!   | the first after `msync`, or after `fdatasync` by anybody, also a reader | moves |
//!   | any at all on tmpfs, once the page was read | stays |
//!
//!   So a file rests only when every page of it was written back since its ctime: after the time that the kernel takes for
//!   that (`vm.dirty_expire_centisecs` and `vm.dirty_writeback_centisecs`, twice, a minute at least), or at once where it
//!   was synced before it was read ([`Judged::synced`]).
//!
//! What remains:
//!
//! - File systems whose times do not show changes: tmpfs (see above), FUSE, network file systems. The caller should never
//!   remember files there, nor of a server whose clock differs from ours.
//! - A write that its own process holds up between stamp and data, as a source page on a FUSE mount of its own can do. The
//!   process has the file open for writing all the while.
//! - What goes around the file system, as writing to the block device or setting the clock back does. Both take root.
//!
//! Whatever comes through by these is judged with the next signatures, when every verdict ages.
//!
//! # On disk
//!
//! A row holds the verdicts of one directory, 48 bytes a file, with a checksum; a damaged one is as good as none. It wants
//! a state file of its own: it is large, it may be lost, and backups need not have it. [`Verdicts::open_file`] makes one.
mod basis;
mod bounds;
mod census;
mod facts;
mod reader;
mod row;
mod schema;
mod write;

pub use basis::{Basis, BasisFacts, BasisId};
pub use census::{Census, Share};
pub use facts::{DirKey, FileFacts, Judged, Judgement};
pub use reader::{Found, KnownVerdicts, Recalled, VerdictReader};
#[cfg(feature = "fuzzing")]
pub(crate) use row::read_any;

use crate::{Database, OpenError, OpenOptions, StateError};
use chrono::{DateTime, Utc};
use facts::{Grain, Refusal};
use row::Entry;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    mem,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use write::{Op, Pending};

/// How much is remembered, and from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictOptions {
    /// Bytes of all rows; beyond, the directories not seen for the longest are forgotten. A million files take about 55 MB.
    pub max_bytes: u64,
    /// A directory that was not seen for so long is forgotten by [`Verdicts::tidy`].
    pub forget_after: Duration,
    /// How long a file must have rested before its reading began, for its verdict to be remembered.
    pub clock_grain: Duration,
    /// The same for a file that was not synced before. Other than by the settings of the kernel, it should only be
    /// shorter where nobody maps files for writing.
    pub settle: Duration,
}

impl Default for VerdictOptions {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024 * 1024,
            forget_after: Duration::from_secs(90 * 24 * 3600),
            clock_grain: Duration::from_secs(2),
            settle: facts::settle_of_system(),
        }
    }
}

/// What became of verdicts that were to be remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Taken.
    pub taken: u64,
    /// Not taken, since the file changed too shortly before it was read. The next time will do.
    pub unsettled: u64,
    /// Not taken, since the file changed while it was read.
    pub moved: u64,
}

/// The verdicts of a state file. Clones are the same.
///
/// What is remembered waits in memory, some 300 KB at most, until [`flush`](Self::flush) or until it is much; what waits
/// when the process dies is judged again, and that is all.
#[derive(Clone, Debug)]
pub struct Verdicts {
    database: Database,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: VerdictOptions,
    /// After how many seconds it is noted again that a directory was seen.
    seen_every_s: i64,
    /// The basis in use; 0 for none.
    basis: AtomicU32,
    damaged: AtomicU64,
    pending: Mutex<Pending>,
}

impl Shared {
    fn grain(&self) -> Grain {
        Grain {
            clock: self.options.clock_grain,
            settle: self.options.settle,
        }
    }
}

impl Verdicts {
    /// The verdicts of a state, made if they are not there. No basis is in use yet, so none holds.
    ///
    /// # Errors
    /// When its tables are newer than this program, or SQLite fails.
    pub fn open(database: &Database, options: VerdictOptions) -> Result<Self, OpenError> {
        database.migrate(&[schema::COMPONENT])?;
        let seen_every_s = i64::try_from(options.forget_after.as_secs() / 8).unwrap_or(i64::MAX);
        Ok(Self {
            database: database.clone(),
            shared: Arc::new(Shared {
                options,
                seen_every_s,
                basis: AtomicU32::new(0),
                damaged: AtomicU64::new(0),
                pending: Mutex::default(),
            }),
        })
    }

    /// The same in a file of their own. One that is damaged, or was written by a newer program, is removed and made
    /// anew: what is lost is found again.
    ///
    /// # Errors
    /// When the file cannot be made or is no state file.
    pub fn open_file(path: &Path, options: VerdictOptions) -> Result<Self, OpenError> {
        // Each row is read once a scan: holding more of them would only take room.
        let files = OpenOptions {
            cache_kib: 2048,
            ..OpenOptions::default()
        };
        let open = || Self::open(&Database::open(path, files)?, options);
        match open() {
            Err(error) if error.is_damage() || matches!(error, OpenError::TooNew { .. }) => {
                tracing::warn!(path = %path.display(), %error, "the remembered verdicts cannot be used and begin anew");
                crate::remove(path).map_err(|source| OpenError::Open {
                    path: path.to_owned(),
                    source,
                })?;
                open()
            }
            opened => opened,
        }
    }

    /// The state file.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Says what files are judged by from `now` on. Verdicts found by it hold, also those of long ago; all others are
    /// aged.
    ///
    /// # Errors
    /// When SQLite fails; the basis before stays in use then.
    pub fn use_basis(&self, basis: &Basis, now: DateTime<Utc>) -> Result<BasisId, StateError> {
        let id = self.transact("note what files are judged by", |transaction| {
            basis::intern(transaction, basis, now)
        })?;
        self.shared.basis.store(id.0, Ordering::Relaxed);
        Ok(id)
    }

    /// What judged by `basis` is found not to have detected anything: whatever was found by it counts as never judged, from
    /// now on and for every process, and none is in use until somebody says so. Should the basis come back, it has another
    /// number. Whether anything may have been remembered by it.
    ///
    /// # Errors
    /// When SQLite fails; what was found by it still counts then.
    pub fn distrust(&self, basis: &Basis) -> Result<bool, StateError> {
        let gone = self.transact("forget what files were judged by", |transaction| {
            basis::remove(transaction, basis)
        })?;
        self.shared.basis.store(0, Ordering::Relaxed);
        Ok(gone)
    }

    /// The basis in use.
    pub fn basis(&self) -> Option<BasisId> {
        let id = self.shared.basis.load(Ordering::Relaxed);
        (id != 0).then_some(BasisId(id))
    }

    /// Every basis that is remembered, by number. A verdict may outlive its basis, after thousands of others.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn bases(&self) -> Result<Vec<BasisFacts>, StateError> {
        self.database
            .with_writer(|connection| basis::all(connection))
            .map_err(StateError::doing("read what files were judged by"))
    }

    /// A reader, for one thread.
    ///
    /// # Errors
    /// When SQLite cannot open the file again.
    pub fn reader(&self) -> Result<VerdictReader, StateError> {
        Ok(VerdictReader::new(self.clone(), self.database.reading()?))
    }

    /// Whether a verdict about a file that looks like this would be remembered if the file were synced first, and not
    /// without. `began_ns` is the wall clock, in nanoseconds since the epoch.
    pub fn wants_sync(&self, file: &FileFacts, began_ns: i64) -> bool {
        let grain = self.shared.grain();
        !file.has_rested(false, began_ns, grain) && file.has_rested(true, began_ns, grain)
    }

    /// Remembers verdicts about files of one directory, those of them that may be. Now and then it writes what waits,
    /// and blocks on the disk.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub fn remember(&self, dir: DirKey, judged: &[Judged], now: DateTime<Utc>) -> Result<Remembered, StateError> {
        let grain = self.shared.grain();
        let mut remembered = Remembered::default();
        let mut ops = Vec::with_capacity(judged.len());
        for judged in judged {
            match judged.check(grain) {
                Ok(()) => {
                    remembered.taken += 1;
                    ops.push(Op::put(Entry {
                        facts: judged.before,
                        judgement: judged.judgement,
                        basis: judged.basis,
                        checked_s: u32::try_from(judged.began_ns / 1_000_000_000).unwrap_or(0),
                    }));
                }
                Err(Refusal::Moved) => remembered.moved += 1,
                Err(Refusal::Unsettled) => remembered.unsettled += 1,
            }
        }
        self.change(dir, ops, now)?;
        Ok(remembered)
    }

    /// Forgets the verdict about a file: it was found infected, or somebody says so. One that was only aged would be known
    /// as clean again if its basis came back.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub fn forget(&self, dir: DirKey, inode: u64, now: DateTime<Utc>) -> Result<(), StateError> {
        self.change(dir, vec![Op::forget(inode)], now)
    }

    /// Stores what waits, in one transaction. For whoever judges, every second or so, and at the end.
    ///
    /// # Errors
    /// When SQLite fails, as on a full disk; what waited is lost then, and judged again.
    pub fn flush(&self, now: DateTime<Utc>) -> Result<(), StateError> {
        let pending = mem::take(&mut *self.pending());
        if pending.is_empty() {
            return Ok(());
        }
        let most = self.shared.options.max_bytes;
        let (damaged, forgotten) = self.transact("store verdicts", |transaction| {
            let damaged = pending.store(transaction, now)?;
            Ok((damaged, bounds::forget_over(transaction, most)?))
        })?;
        damaged.into_iter().for_each(|dir| self.found_damaged(dir));
        if forgotten > 0 {
            tracing::debug!(
                rows = forgotten,
                "forgot the verdicts of directories not seen for the longest"
            );
        }
        Ok(())
    }

    /// Stores what waits, and forgets directories that were not seen for long. For the daemon, once a day;
    /// [`Database::tidy`] gives the room back. Says how many rows went.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn tidy(&self, now: DateTime<Utc>) -> Result<u64, StateError> {
        self.flush(now)?;
        let long = i64::try_from(self.shared.options.forget_after.as_secs()).unwrap_or(i64::MAX);
        let before = now.timestamp().saturating_sub(long);
        let most = self.shared.options.max_bytes;
        self.transact("forget verdicts", |transaction| {
            Ok(bounds::forget_unseen(transaction, before)? + bounds::forget_over(transaction, most)?)
        })
    }

    /// Bytes of all rows, without those that wait.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn bytes(&self) -> Result<u64, StateError> {
        self.database
            .with_writer(|connection| bounds::total(connection))
            .map_err(StateError::doing("count verdicts"))
    }

    /// Counts all verdicts that were stored, by what they were found by. Reads all of them: some 50 ms for a million.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn census(&self) -> Result<Census, StateError> {
        census::take(&self.database.reading()?).map_err(StateError::doing("count verdicts"))
    }

    /// How many damaged rows were met since the verdicts were opened.
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    fn found_damaged(&self, dir: DirKey) {
        let (volume, inode) = (dir.volume, dir.inode);
        // Damage comes in thousands of rows, and the first says all.
        if self.shared.damaged.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(volume, inode, "remembered verdicts are damaged on disk and not used");
        } else {
            tracing::debug!(volume, inode, "remembered verdicts are damaged on disk and not used");
        }
    }

    fn change(&self, dir: DirKey, ops: Vec<Op>, now: DateTime<Utc>) -> Result<(), StateError> {
        if ops.is_empty() {
            return Ok(());
        }
        let is_full = {
            let mut pending = self.pending();
            pending.add(dir, ops);
            pending.is_full()
        };
        if is_full { self.flush(now) } else { Ok(()) }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transact<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let done = self.database.with_writer(|connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.map_err(|error| StateError::doing(doing)(error).with_path(self.database.path()))
    }
}
