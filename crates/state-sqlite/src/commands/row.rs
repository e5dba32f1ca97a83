//! A command as it lies on disk, with a checksum of all that is in its row.
use super::{CommandState, JournaledCommand};
use chrono::{DateTime, Utc};
use core_model::{CommandId, InstanceId};
use rusqlite::{Connection, params};
use uuid::Uuid;

pub(super) const SELECT: &str =
    "SELECT number, id, state, keep_until_ms, accepted_ms, started_ms, started_by, crc, body, result FROM command";

pub(super) struct Row {
    id: CommandId,
    pub(super) state: CommandState,
    keep_until_ms: i64,
    accepted_ms: i64,
    pub(super) started: Option<(i64, InstanceId)>,
    body: Vec<u8>,
    pub(super) result: Option<Vec<u8>>,
    pub(super) is_sound: bool,
}

pub(super) const fn number(state: CommandState) -> i64 {
    match state {
        CommandState::Accepted => 0,
        CommandState::Started => 1,
        CommandState::Ended => 2,
        CommandState::Confirmed => 3,
    }
}

const fn state(number: i64) -> CommandState {
    match number {
        0 => CommandState::Accepted,
        2 => CommandState::Ended,
        3 => CommandState::Confirmed,
        // Another number is damage. Begun is what is never run again without being asked about.
        _ => CommandState::Started,
    }
}

impl Row {
    pub(super) fn accepted(id: CommandId, body: &[u8], keep_until: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            id,
            state: CommandState::Accepted,
            keep_until_ms: keep_until.timestamp_millis(),
            accepted_ms: now.timestamp_millis(),
            started: None,
            body: body.to_vec(),
            result: None,
            is_sound: true,
        }
    }

    /// Of a row by [`SELECT`], with its number.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Self)> {
        let bytes = |column| {
            row.get_ref(column)
                .map(|value| value.as_blob().ok().map(<[u8]>::to_vec))
        };
        let instance = bytes(6)?.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        let mut read = Self {
            id: CommandId::from_uuid(Uuid::from_bytes(row.get(1)?)),
            state: state(row.get(2)?),
            keep_until_ms: row.get(3)?,
            accepted_ms: row.get(4)?,
            started: row.get::<_, Option<i64>>(5)?.zip(instance.map(InstanceId::from_uuid)),
            body: bytes(8)?.unwrap_or_default(),
            result: bytes(9)?,
            is_sound: true,
        };
        read.is_sound = row.get::<_, i64>(7)? == read.checksum() && row.get::<_, i64>(2)? == number(read.state);
        Ok((row.get(0)?, read))
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO command (id, state, keep_until_ms, accepted_ms, crc, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                self.id.as_uuid().as_bytes().as_slice(),
                number(self.state),
                self.keep_until_ms,
                self.accepted_ms,
                self.checksum(),
                self.body
            ])?;
        Ok(())
    }

    /// Stores what can change. A damaged row becomes sound by it: what it lost is lost, and what is new is right.
    pub(super) fn update(&self, connection: &Connection, at: i64) -> rusqlite::Result<()> {
        let by = self.started.map(|(_, by)| by.as_uuid());
        connection
            .prepare_cached(
                "UPDATE command SET state = ?2, started_ms = ?3, started_by = ?4, crc = ?5, result = ?6 WHERE number = ?1",
            )?
            .execute(params![
                at,
                number(self.state),
                self.started.map(|(at, _)| at),
                by.as_ref().map(|by| by.as_bytes().as_slice()),
                self.checksum(),
                self.result
            ])?;
        Ok(())
    }

    pub(super) fn into_command(self) -> JournaledCommand {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap_or_default();
        JournaledCommand {
            id: self.id,
            state: self.state,
            accepted_at: at(self.accepted_ms),
            started: self.started.map(|(millis, by)| (at(millis), by)),
            body: self.is_sound.then_some(self.body),
            result: self.result.filter(|_| self.is_sound),
        }
    }

    // SQLite finds a torn page but not a flipped bit inside a value.
    fn checksum(&self) -> i64 {
        let (started_ms, by) = self.started.map_or((0, Uuid::nil()), |(at, by)| (at, by.as_uuid()));
        let head = [number(self.state), self.keep_until_ms, self.accepted_ms, started_ms];
        let mut crc = crc32c::crc32c(self.id.as_uuid().as_bytes());
        for part in head {
            crc = crc32c::crc32c_append(crc, &part.to_le_bytes());
        }
        crc = crc32c::crc32c_append(crc, by.as_bytes());
        // The lengths, so that no byte can change sides.
        crc = crc32c::crc32c_append(crc, &(self.body.len() as u64).to_le_bytes());
        crc = crc32c::crc32c_append(crc, &self.body);
        if let Some(result) = &self.result {
            crc = crc32c::crc32c_append(crc, &(result.len() as u64).to_le_bytes());
            crc = crc32c::crc32c_append(crc, result);
        }
        i64::from(crc)
    }
}
