//! The outbox: what a server is still to be told, in the state file itself.
use crate::{Component, Database, OpenError, StateError};
use chrono::{DateTime, Utc};
use core_model::{Damaged, Queue, QueueStats, QueuedRun, Run, SeqRange, StreamId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
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
/// assert_eq!(outbox.peek(outbox.stream(), 0, 10).unwrap()[0].body.as_deref().unwrap(), b"one\ntwo\n");
/// outbox.ack(outbox.stream(), &[1]).unwrap();
/// assert_eq!(outbox.stats().unwrap().records, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    database: Database,
    stream: StreamId,
}

impl Outbox {
    /// The outbox of a state file; its stream is made with it. Of a state that is only read, it can be looked at.
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
        let read = || {
            database
                .with_writer(|connection| read_stream(connection))
                .map_err(failed)
        };
        let stream = if let Some(stream) = read()? {
            stream
        } else {
            let mut random = [0; 10];
            getrandom::fill(&mut random).map_err(|source| OpenError::Random {
                path: database.path().to_owned(),
                source,
            })?;
            let fresh = StreamId::new(Utc::now(), random).as_uuid();
            let insert = "INSERT OR IGNORE INTO outbox_meta (id, stream, next_seq) VALUES (1, ?1, 1)";
            database
                .with_writer(|connection| connection.execute(insert, [fresh.as_bytes().as_slice()]))
                .map_err(failed)?;
            // Read again: another process may have been quicker.
            read()?.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?
        };
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
        check(runs)?;
        self.database.with_writer(|connection| {
            let transaction = begin(connection)?;
            let seqs = enqueue(&transaction, runs, now).map_err(StateError::doing("put records into the outbox"))?;
            transaction
                .commit()
                .map_err(StateError::doing("put records into the outbox"))?;
            Ok(seqs)
        })
    }

    fn peek(&self, stream: StreamId, after: u64, max_runs: usize) -> Result<Vec<QueuedRun>, StateError> {
        if stream != self.stream {
            return Ok(Vec::new());
        }
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
            let rows = statement.query_map((after, limit), |row| match Stored::read(row)?.open() {
                Ok(run) => Ok(run),
                Err(damaged) => damaged.lost(connection),
            });
            rows.map_err(failed())?.collect::<Result<_, _>>().map_err(failed())
        })
    }

    fn ack(&self, stream: StreamId, first_seqs: &[u64]) -> Result<(), StateError> {
        if stream != self.stream {
            return Ok(());
        }
        let failed = || StateError::doing("take records out of the outbox");
        self.database.with_writer(|connection| {
            let transaction = begin(connection)?;
            let (mut records, mut runs, mut bytes) = (0_i64, 0_i64, 0_i64);
            for seq in first_seqs {
                let gone: Option<(i64, i64)> = transaction
                    .prepare_cached("DELETE FROM outbox WHERE first_seq = ?1 RETURNING records, length(body)")
                    .and_then(|mut delete| {
                        let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
                        delete
                            .query_row([seq], |row| Ok((number(row, 0)?, number(row, 1)?)))
                            .optional()
                    })
                    .map_err(failed())?;
                if let Some((gone_records, gone_bytes)) = gone {
                    (records, runs, bytes) = (records + gone_records, runs + 1, bytes + gone_bytes);
                }
            }
            // A damaged row may have been taken off with other counts than it was added with; the sums never go below
            // zero for it, and an empty queue makes them right again.
            let subtract = "UPDATE outbox_meta SET runs = max(runs - ?2, 0),
                            records = iif(runs > ?2, max(records - ?1, 0), 0),
                            bytes = iif(runs > ?2, max(bytes - ?3, 0), 0)";
            if runs > 0 {
                transaction
                    .execute(subtract, (records, runs, bytes))
                    .map_err(failed())?;
            }
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

fn read_stream(connection: &Connection) -> rusqlite::Result<Option<StreamId>> {
    connection
        .query_row("SELECT stream FROM outbox_meta", [], |row| row.get::<_, [u8; 16]>(0))
        .optional()
        .map(|stream| stream.map(|bytes| StreamId::from_uuid(Uuid::from_bytes(bytes))))
}

/// Refuses what would have no number of its own.
pub(crate) fn check(runs: &[Run]) -> Result<(), StateError> {
    if runs.iter().any(|run| run.records == 0) {
        return Err(StateError::Refused("a run without records"));
    }
    Ok(())
}

/// Gives the records of `runs`, which were checked, the next numbers and stores them, within a transaction of the
/// caller's.
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
        let stored = Stored::pack(next, run, now);
        insert.execute(params![
            stored.first_seq,
            stored.records,
            stored.enqueued_ms,
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
            dropped: 0,
            damaged: 0,
            oldest: row.get::<_, Option<i64>>(4)?.and_then(DateTime::from_timestamp_millis),
        })
    });
    read.map_err(StateError::doing("count the outbox"))
}

/// A number of a row, or what the checksum cannot match where damage made it something else.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(-1))
}

/// A run as it lies on disk. What was read may be anything.
struct Stored {
    first_seq: i64,
    records: i64,
    enqueued_ms: i64,
    codec: i64,
    crc: i64,
    body: Vec<u8>,
}

impl Stored {
    fn pack(first_seq: i64, run: &Run, now: DateTime<Utc>) -> Self {
        let smaller = (run.body.len() >= COMPRESS_FROM)
            .then(|| zstd::bulk::compress(&run.body, 1).ok())
            .flatten()
            .filter(|packed| packed.len() < run.body.len());
        let (codec, body) = smaller.map_or_else(|| (PLAIN, run.body.clone()), |packed| (ZSTD, packed));
        let mut stored = Self {
            first_seq,
            records: i64::from(run.records),
            enqueued_ms: now.timestamp_millis(),
            codec,
            crc: 0,
            body,
        };
        stored.crc = stored.checksum();
        stored
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            first_seq: row.get(0)?,
            records: number(row, 1)?,
            enqueued_ms: number(row, 2)?,
            codec: number(row, 3)?,
            crc: number(row, 4)?,
            body: row.get_ref(5)?.as_blob().map(<[u8]>::to_vec).unwrap_or_default(),
        })
    }

    // SQLite finds a torn page but not a flipped bit inside a body, so each row has a checksum of all that is in it.
    fn checksum(&self) -> i64 {
        let head = [self.first_seq, self.records, self.enqueued_ms, self.codec];
        let sum = head.iter().fold(crc32c::crc32c(&self.body), |crc, part| {
            crc32c::crc32c_append(crc, &part.to_le_bytes())
        });
        i64::from(sum)
    }

    /// The run, or itself where it is not as it was written.
    fn open(self) -> Result<QueuedRun, Self> {
        let is_sound = self.checksum() == self.crc;
        let body = match self.codec {
            PLAIN if is_sound => Some(self.body.clone()),
            ZSTD if is_sound => unpack(&self.body),
            _ => None,
        };
        let Some(body) = body else { return Err(self) };
        Ok(QueuedRun {
            seqs: SeqRange {
                first: self.first_seq.unsigned_abs(),
                last: (self.first_seq + self.records - 1).unsigned_abs(),
            },
            enqueued_at: self.enqueued_at(),
            body: Ok(body),
        })
    }

    /// What is lost with it. Its count may be what was damaged, so its records end before the next run at the latest.
    fn lost(self, connection: &Connection) -> rusqlite::Result<QueuedRun> {
        let end: i64 = connection
            .prepare_cached(
                "SELECT coalesce((SELECT min(first_seq) FROM outbox WHERE first_seq > ?1), next_seq) FROM outbox_meta",
            )?
            .query_row([self.first_seq], |row| row.get(0))?;
        let most = end.saturating_sub(self.first_seq).max(1);
        let records = if (1..=most).contains(&self.records) {
            self.records
        } else {
            most
        };
        let seqs = SeqRange {
            first: self.first_seq.unsigned_abs(),
            last: (self.first_seq.saturating_add(records - 1)).unsigned_abs(),
        };
        Ok(QueuedRun {
            seqs,
            enqueued_at: self.enqueued_at(),
            body: Err(Damaged { seqs }),
        })
    }

    fn enqueued_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.enqueued_ms).unwrap_or_default()
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let length = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BODY)?;
    zstd::bulk::decompress(packed, length).ok()
}
