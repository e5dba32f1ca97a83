//! What verdicts were found by.
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row};

/// What a verdict was found by. Two are the same if all texts are; what they say is the caller's business.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Basis {
    /// The engine and its version.
    pub engine: String,
    /// What identifies the signature database: its version, and a digest of what its version does not cover.
    pub signatures: String,
    /// The limits that the engine reads files by: within other limits, a file may be found infected.
    pub limits: String,
}

/// The number of a basis. Never reused within a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BasisId(pub(super) u32);

impl BasisId {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A basis that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasisFacts {
    /// Its number.
    pub id: BasisId,
    /// What it is.
    pub basis: Basis,
    /// When it came into use.
    pub first_used: DateTime<Utc>,
    /// When it came into use last.
    pub last_used: DateTime<Utc>,
}

/// As many as are remembered: years of daily databases.
const KEPT: i64 = 4096;

impl Basis {
    /// That it is this basis which has a number: otherwise the verdicts of one could become those of another.
    fn checksum(&self, id: u32) -> i64 {
        let texts = [&self.engine, &self.signatures, &self.limits];
        let sum = crc32c::crc32c(&id.to_le_bytes());
        // Lengths first, so that no byte can change sides between two texts.
        let sum = texts.iter().fold(sum, |crc, text| {
            crc32c::crc32c_append(crc, &(text.len() as u64).to_le_bytes())
        });
        let sum = texts
            .iter()
            .fold(sum, |crc, text| crc32c::crc32c_append(crc, text.as_bytes()));
        i64::from(sum)
    }
}

/// The number of `basis`, which is in use from `now` on.
pub(super) fn intern(connection: &Connection, basis: &Basis, now: DateTime<Utc>) -> rusqlite::Result<BasisId> {
    let now = now.timestamp_millis();
    let known = all(connection)?;
    if let Some(BasisFacts { id, .. }) = known.iter().rev().find(|facts| facts.basis == *basis) {
        connection.execute("UPDATE verdict_basis SET last_ms = ?2 WHERE id = ?1", (id.0, now))?;
        return Ok(*id);
    }
    connection.execute(
        "INSERT INTO verdict_basis (engine, signatures, limits, first_ms, last_ms, crc) VALUES (?1, ?2, ?3, ?4, ?4, 0)",
        (&basis.engine, &basis.signatures, &basis.limits, now),
    )?;
    let id: u32 = connection.query_row("SELECT last_insert_rowid()", [], |row| row.get(0))?;
    connection.execute(
        "UPDATE verdict_basis SET crc = ?2 WHERE id = ?1",
        (id, basis.checksum(id)),
    )?;
    connection.execute(
        "DELETE FROM verdict_basis WHERE id NOT IN (SELECT id FROM verdict_basis ORDER BY last_ms DESC, id DESC LIMIT ?1)",
        [KEPT],
    )?;
    Ok(BasisId(id))
}

/// Forgets `basis`; whether it was known. Verdicts that bear its number are nobody's then: no number is given out twice.
pub(super) fn remove(connection: &Connection, basis: &Basis) -> rusqlite::Result<bool> {
    let texts = (&basis.engine, &basis.signatures, &basis.limits);
    let sql = "DELETE FROM verdict_basis WHERE engine = ?1 AND signatures = ?2 AND limits = ?3";
    Ok(connection.execute(sql, texts)? > 0)
}

/// All that are remembered and not damaged, by number.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<BasisFacts>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, engine, signatures, limits, first_ms, last_ms, crc FROM verdict_basis ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        // A value that is not even of its type is damage too.
        all.extend(read(row).ok().flatten());
    }
    Ok(all)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<BasisFacts>> {
    let id: u32 = row.get(0)?;
    let basis = Basis {
        engine: row.get(1)?,
        signatures: row.get(2)?,
        limits: row.get(3)?,
    };
    let time = |ms: i64| DateTime::from_timestamp_millis(ms).unwrap_or_default();
    let is_sound = row.get::<_, i64>(6)? == basis.checksum(id);
    Ok(is_sound.then_some(BasisFacts {
        id: BasisId(id),
        basis,
        first_used: time(row.get(4)?),
        last_used: time(row.get(5)?),
    }))
}
