//! How values of the domain stand in columns, and back.
use chrono::{DateTime, Utc};
use rusqlite::{Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};
use std::error::Error;
use uuid::Uuid;

/// Microseconds since 1970.
pub(super) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<DateTime<Utc>> {
    let micros = row.get(column)?;
    DateTime::from_timestamp_micros(micros).ok_or_else(|| unfit(Type::Integer, "a time out of range".into()))
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<DateTime<Utc>>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .and_then(DateTime::from_timestamp_micros))
}

/// Nanoseconds since 1970, held to what fits.
pub(super) fn nanos(time: DateTime<Utc>) -> i64 {
    let bound = if time.timestamp() < 0 { i64::MIN } else { i64::MAX };
    time.timestamp_nanos_opt().unwrap_or(bound)
}

pub(super) fn optional_nanos(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<DateTime<Utc>>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(DateTime::from_timestamp_nanos))
}

/// The 16 bytes of an id.
pub(super) fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

/// A count or a sequence number; the store holds none below zero.
pub(super) fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|error| unfit(Type::Integer, Box::new(error)))
}

/// A number that fits because it was checked at the door; held to what fits otherwise.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| unfit(Type::Text, Box::new(error)))
}

/// A stored value that is none of ours.
pub(super) fn unfit(kind: Type, source: Box<dyn Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, source)
}
