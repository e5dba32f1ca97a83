//! Runs as they lie on disk, each with a checksum of all that is in its row.
use chrono::{DateTime, Utc};
use core_model::{Damaged, QueuedRun, Run, SeqRange};
use rusqlite::{Connection, Row, params};

/// Bodies from this length on are compressed, where that makes them smaller.
const COMPRESS_FROM: usize = 512;
/// The longest that a body may become when it is unpacked: damage must not ask for all memory.
const MAX_BODY: usize = 256 << 20;
const PLAIN: i64 = 0;
const ZSTD: i64 = 1;

/// A run that is ready to be stored. Made before the file is locked, and once, whatever tables it goes into.
pub(crate) struct Packed {
    records: u32,
    codec: i64,
    body: Vec<u8>,
    body_crc: u32,
}

impl Packed {
    pub(crate) fn of(run: &Run) -> Self {
        let smaller = (run.body.len() >= COMPRESS_FROM)
            .then(|| zstd::bulk::compress(&run.body, 1).ok())
            .flatten()
            .filter(|packed| packed.len() < run.body.len());
        let (codec, body) = smaller.map_or_else(|| (PLAIN, run.body.clone()), |packed| (ZSTD, packed));
        Self {
            records: run.records,
            codec,
            body_crc: crc32c::crc32c(&body),
            body,
        }
    }

    pub(crate) fn records(&self) -> u64 {
        u64::from(self.records)
    }

    /// Bytes of the body as it is stored.
    pub(crate) fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// Stores it through `insert`, whose six parameters are number, records, time, codec, checksum and body.
    pub(crate) fn insert(
        &self,
        connection: &Connection,
        insert: &str,
        number: u64,
        at: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        let head = Head {
            number: number.cast_signed(),
            records: i64::from(self.records),
            at_ms: at.timestamp_millis(),
            codec: self.codec,
        };
        connection.prepare_cached(insert)?.execute(params![
            head.number,
            head.records,
            head.at_ms,
            head.codec,
            head.checksum(self.body_crc),
            self.body
        ])?;
        Ok(())
    }
}

/// What stands before the body. What was read may be anything.
#[derive(Clone, Copy)]
struct Head {
    number: i64,
    records: i64,
    at_ms: i64,
    codec: i64,
}

impl Head {
    // SQLite finds a torn page but not a flipped bit inside a body, so each row has a checksum of all that is in it.
    fn checksum(&self, body_crc: u32) -> i64 {
        let parts = [self.number, self.records, self.at_ms, self.codec];
        i64::from(
            parts
                .iter()
                .fold(body_crc, |crc, part| crc32c::crc32c_append(crc, &part.to_le_bytes())),
        )
    }
}

/// A row that was read: number, records, time, codec, checksum and body, in this order. It may be anything.
pub(crate) struct Stored {
    head: Head,
    crc: i64,
    body: Vec<u8>,
}

impl Stored {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            head: Head {
                number: row.get(0)?,
                records: number(row, 1)?,
                at_ms: number(row, 2)?,
                codec: number(row, 3)?,
            },
            crc: number(row, 4)?,
            body: row.get_ref(5)?.as_blob().map(<[u8]>::to_vec).unwrap_or_default(),
        })
    }

    #[cfg(feature = "fuzzing")]
    pub(crate) fn of_bytes(data: &[u8]) -> Option<Self> {
        let (numbers, body) = data.split_at_checked(40)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        let mut next = || numbers.next().unwrap_or_default();
        let head = Head {
            number: next(),
            records: next(),
            at_ms: next(),
            codec: next(),
        };
        // Half of all inputs get the checksum that they should have, so that what lies behind it is reached too.
        let given = next();
        let crc = if given % 2 == 0 {
            head.checksum(crc32c::crc32c(body))
        } else {
            given
        };
        Some(Self {
            head,
            crc,
            body: body.to_vec(),
        })
    }

    /// Whether the row is as it was written.
    pub(crate) fn is_sound(&self) -> bool {
        let Head { number, records, .. } = self.head;
        self.head.checksum(crc32c::crc32c(&self.body)) == self.crc
            && number > 0
            && (1..=i64::from(u32::MAX)).contains(&records)
            && number.checked_add(records).is_some()
    }

    /// The body as it was handed in; `None` where the row is not as it was written.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        match self.head.codec {
            _ if !self.is_sound() => None,
            PLAIN => Some(self.body.clone()),
            ZSTD => unpack(&self.body),
            _ => None,
        }
    }

    /// When it was stored.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.head.at_ms).unwrap_or_default()
    }

    /// The run of an outbox, or what is lost with it. `end` is the number after its last at the most: its count may be
    /// what was damaged.
    pub(crate) fn open(self, end: impl FnOnce(i64) -> rusqlite::Result<i64>) -> rusqlite::Result<QueuedRun> {
        let body = self.body();
        let first = self.head.number;
        let records = if body.is_some() {
            self.head.records
        } else {
            let most = end(first)?.saturating_sub(first).max(1);
            if (1..=most).contains(&self.head.records) {
                self.head.records
            } else {
                most
            }
        };
        let seqs = SeqRange {
            first: first.unsigned_abs(),
            last: first.saturating_add(records.saturating_sub(1)).unsigned_abs(),
        };
        Ok(QueuedRun {
            seqs,
            enqueued_at: self.at(),
            body: body.ok_or(Damaged { seqs }),
        })
    }
}

/// A number of a row, or what the checksum cannot match where damage made it something else.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(-1))
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let length = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BODY)?;
    zstd::bulk::decompress(packed, length).ok()
}
