//! The outbox: what a server is still to be told, in the state file itself.
use crate::{Component, Database, OpenError, StateError};
use chrono::{DateTime, Utc};
use core_model::{Damaged, Queue, QueueStats, QueuedRun, Run, SeqRange, StreamId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

pub(crate) const COMPONENT: Component = Component {
    name: "outbox",
    // The sums stand beside the numbering, so that asking for them reads one row however much is owed.
    migrations: &["CREATE TABLE outbox_meta (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         stream BLOB NOT NULL,
         next_seq INTEGER NOT NULL,
         records INTEGER NOT NULL DEFAULT 0,
         runs INTEGER NOT NULL DEFAULT 0,
         bytes INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE TABLE outbox (
         first_seq INTEGER PRIMARY KEY,
         records INTEGER NOT NULL,
         enqueued_ms INTEGER NOT NULL,
         codec INTEGER NOT NULL,
         crc INTEGER NOT NULL,
         body BLOB NOT NULL
     ) STRICT;"],
};

/// Bodies from this length on are compressed, where that makes them smaller.
const COMPRESS_FROM: usize = 512;
/// The longest that a body may become when it is unpacked: damage must not ask for all memory.
const MAX_BODY: usize = 256 << 20;
const PLAIN: i64 = 0;
const ZSTD: i64 = 1;

/// The durable queue of one agent's records. Clones are the same queue.
///
/// ```
/// use core_model::{Queue, Run};
/// use state_sqlite::{Database, OpenOptions, Outbox};
/// # let dir = tempfile::tempdir().unwrap();
/// let database = Database::open(&dir.path().join("state.db"), OpenOptions::default()).unwrap();
/// let outbox = Outbox::open(&database).unwrap();
/// let now = chrono::DateTime::UNIX_EPOCH;
/// let seqs = outbox.enqueue(&[Run { records: 2, body: b"one\ntwo\n".to_vec() }], now).unwrap().unwrap();
/// assert_eq!((seqs.first, seqs.last), (1, 2));
/// assert_eq!(outbox.peek(0, 10).unwrap()[0].body.as_deref().unwrap(), b"one\ntwo\n");
/// outbox.ack(&[1]).unwrap();
/// assert_eq!(outbox.stats().unwrap().records, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    database: Database,
    stream: StreamId,
}

impl Outbox {
    /// The outbox of a state file; its stream is made with it.
    ///
    /// # Errors
    /// When the file's tables are newer than this program, or SQLite fails.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        database.migrate(&[COMPONENT])?;
        let failed = |source| OpenError::Sqlite {
            path: database.path().to_owned(),
            doing: "read",
            source,
        };
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|source| OpenError::Random {
            path: database.path().to_owned(),
            source,
        })?;
        let fresh = StreamId::new(Utc::now(), random).as_uuid();
        let stream = database.with_writer(|connection| {
            connection.execute(
                "INSERT OR IGNORE INTO outbox_meta (id, stream, next_seq) VALUES (1, ?1, 1)",
                [fresh.as_bytes().as_slice()],
            )?;
            connection.query_row("SELECT stream FROM outbox_meta", [], |row| row.get::<_, [u8; 16]>(0))
        });
        let stream = StreamId::from_uuid(Uuid::from_bytes(stream.map_err(failed)?));
        Ok(Self {
            database: database.clone(),
            stream,
        })
    }

    /// What waits in the outbox of a state that is only read; nothing where it has none.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn stats_of(database: &Database) -> Result<QueueStats, StateError> {
        database.with_writer(|connection| {
            let exists: bool = connection
                .query_row(
                    "SELECT count(*) FROM sqlite_schema WHERE name = 'outbox_meta'",
                    [],
                    |row| row.get(0),
                )
                .map_err(StateError::doing("look for the outbox"))?;
            if exists {
                stats(connection)
            } else {
                Ok(QueueStats::default())
            }
        })
    }
}

impl Queue for Outbox {
    type Error = StateError;

    fn stream(&self) -> StreamId {
        self.stream
    }

    fn enqueue(&self, runs: &[Run], now: DateTime<Utc>) -> Result<Option<SeqRange>, StateError> {
        self.database.with_writer(|connection| {
            let transaction = begin(connection)?;
            let seqs = enqueue(&transaction, runs, now).map_err(StateError::doing("put records into the outbox"))?;
            transaction
                .commit()
                .map_err(StateError::doing("put records into the outbox"))?;
            Ok(seqs)
        })
    }

    fn peek(&self, after: u64, max_runs: usize) -> Result<Vec<QueuedRun>, StateError> {
        let failed = || StateError::doing("read the outbox");
        self.database.with_writer(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT first_seq, records, enqueued_ms, codec, crc, body FROM outbox
                     WHERE first_seq > ?1 ORDER BY first_seq LIMIT ?2",
                )
                .map_err(failed())?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let limit = i64::try_from(max_runs).unwrap_or(i64::MAX);
            let rows = statement.query_map((after, limit), |row| {
                let stored = Stored {
                    first_seq: row.get(0)?,
                    records: row.get(1)?,
                    codec: row.get(3)?,
                    crc: row.get(4)?,
                    body: row.get(5)?,
                };
                Ok(stored.open(row.get(2)?))
            });
            rows.map_err(failed())?.collect::<Result<_, _>>().map_err(failed())
        })
    }

    fn ack(&self, first_seqs: &[u64]) -> Result<(), StateError> {
        let failed = || StateError::doing("take records out of the outbox");
        self.database.with_writer(|connection| {
            let transaction = begin(connection)?;
            let (mut records, mut runs, mut bytes) = (0_i64, 0_i64, 0_i64);
            for seq in first_seqs {
                let gone: Option<(i64, i64)> = transaction
                    .prepare_cached("DELETE FROM outbox WHERE first_seq = ?1 RETURNING records, length(body)")
                    .and_then(|mut delete| {
                        let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
                        delete.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()
                    })
                    .map_err(failed())?;
                if let Some((gone_records, gone_bytes)) = gone {
                    (records, runs, bytes) = (records + gone_records, runs + 1, bytes + gone_bytes);
                }
            }
            transaction
                .execute(
                    "UPDATE outbox_meta SET records = records - ?1, runs = runs - ?2, bytes = bytes - ?3",
                    (records, runs, bytes),
                )
                .map_err(failed())?;
            transaction.commit().map_err(failed())
        })
    }

    fn stats(&self) -> Result<QueueStats, StateError> {
        self.database.with_writer(|connection| stats(connection))
    }
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StateError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(StateError::doing("begin a change of the state"))
}

/// Gives the records of `runs` the next numbers and stores them, within a transaction of the caller's.
pub(crate) fn enqueue(connection: &Connection, runs: &[Run], now: DateTime<Utc>) -> rusqlite::Result<Option<SeqRange>> {
    if runs.is_empty() {
        return Ok(None);
    }
    let first: i64 = connection.query_row("SELECT next_seq FROM outbox_meta", [], |row| row.get(0))?;
    let (mut next, mut bytes) = (first, 0);
    let mut insert = connection.prepare_cached(
        "INSERT INTO outbox (first_seq, records, enqueued_ms, codec, crc, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for run in runs {
        let stored = Stored::pack(next, run);
        insert.execute(params![
            stored.first_seq,
            stored.records,
            now.timestamp_millis(),
            stored.codec,
            stored.crc,
            stored.body
        ])?;
        next += i64::from(run.records);
        bytes += i64::try_from(stored.body.len()).unwrap_or(i64::MAX);
    }
    let runs = i64::try_from(runs.len()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "UPDATE outbox_meta SET next_seq = ?1, records = records + ?2, runs = runs + ?3, bytes = bytes + ?4",
        )?
        .execute((next, next - first, runs, bytes))?;
    Ok(Some(SeqRange {
        first: first.unsigned_abs(),
        last: (next - 1).unsigned_abs(),
    }))
}

fn stats(connection: &Connection) -> Result<QueueStats, StateError> {
    let sql = "SELECT records, runs, bytes, next_seq - 1,
               (SELECT enqueued_ms FROM outbox ORDER BY first_seq LIMIT 1) FROM outbox_meta";
    let read = connection.query_row(sql, [], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(QueueStats {
            records: number(0)?,
            runs: number(1)?,
            bytes: number(2)?,
            last_seq: number(3)?,
            oldest: row.get::<_, Option<i64>>(4)?.and_then(DateTime::from_timestamp_millis),
        })
    });
    read.map_err(StateError::doing("count the outbox"))
}

/// A run as it lies on disk.
struct Stored {
    first_seq: i64,
    records: u32,
    codec: i64,
    crc: u32,
    body: Vec<u8>,
}

impl Stored {
    fn pack(first_seq: i64, run: &Run) -> Self {
        let smaller = (run.body.len() >= COMPRESS_FROM)
            .then(|| zstd::bulk::compress(&run.body, 1).ok())
            .flatten()
            .filter(|packed| packed.len() < run.body.len());
        let (codec, body) = smaller.map_or_else(|| (PLAIN, run.body.clone()), |packed| (ZSTD, packed));
        let mut stored = Self {
            first_seq,
            records: run.records,
            codec,
            crc: 0,
            body,
        };
        stored.crc = stored.checksum();
        stored
    }

    // SQLite finds a torn page but not a flipped bit inside a body, so each row has a checksum of all that is in it.
    fn checksum(&self) -> u32 {
        let head = [
            self.first_seq.to_le_bytes(),
            i64::from(self.records).to_le_bytes(),
            self.codec.to_le_bytes(),
        ];
        head.iter()
            .fold(crc32c::crc32c(&self.body), |crc, part| crc32c::crc32c_append(crc, part))
    }

    fn open(self, enqueued_ms: i64) -> QueuedRun {
        let first = self.first_seq.unsigned_abs();
        let seqs = SeqRange {
            first,
            last: first + u64::from(self.records.max(1)) - 1,
        };
        let is_sound = self.checksum() == self.crc;
        let body = match self.codec {
            PLAIN if is_sound => Some(self.body),
            ZSTD if is_sound => unpack(&self.body),
            _ => None,
        };
        let enqueued_at = DateTime::from_timestamp_millis(enqueued_ms).unwrap_or_default();
        QueuedRun {
            seqs,
            enqueued_at,
            body: body.ok_or(Damaged { seqs }),
        }
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let length = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BODY)?;
    zstd::bulk::decompress(packed, length).ok()
}
