//! Cursors: where a page ended, as text that callers hand back and never look into.
use crate::error::ApiError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use core_model::{AgentId, ClaimId, TokenId};
use fleet_core::{EventKey, PageRequest};
use uuid::Uuid;

/// Rows in a page when nobody says.
const USUAL: usize = 100;
/// Rows in a page at most.
const MOST: usize = 1_000;

/// A key that can be a cursor.
pub(crate) trait Cursor: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// The page that `cursor` and `limit` ask for.
pub(crate) fn page<K: Cursor>(cursor: Option<&str>, limit: Option<usize>) -> Result<PageRequest<K>, ApiError> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::bad_request("invalid_limit", format!("limit is 1 to {MOST}")));
    }
    let read = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| K::from_bytes(&bytes))
    };
    let wrong = || ApiError::bad_request("invalid_cursor", "cursor is what next_cursor of the page before said");
    let after = cursor.map(|text| read(text).ok_or_else(wrong)).transpose()?;
    Ok(PageRequest { after, limit })
}

/// The text of a cursor.
pub(crate) fn cursor<K: Cursor>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(key.to_bytes())
}

impl Cursor for Vec<u8> {
    fn to_bytes(&self) -> Vec<u8> {
        self.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl Cursor for u64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

macro_rules! id_cursor {
    ($($id:ty),*) => {
        $(impl Cursor for $id {
            fn to_bytes(&self) -> Vec<u8> {
                self.as_uuid().as_bytes().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self::from_uuid)
            }
        })*
    };
}
id_cursor!(TokenId, ClaimId);

impl Cursor for EventKey {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.timestamp_micros().to_be_bytes(), self.1.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, place) = bytes.split_at_checked(8)?;
        let time = DateTime::from_timestamp_micros(i64::from_be_bytes(time.try_into().ok()?))?;
        Some((time, u64::from_bytes(place)?))
    }
}

impl Cursor for (String, AgentId) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.1.as_uuid().as_bytes(), self.0.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, name) = bytes.split_at_checked(16)?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        Some((name, AgentId::from_uuid(Uuid::from_slice(id).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_left_and_others_are_refused() {
        let key = ("web-1".to_owned(), AgentId::from_uuid(Uuid::from_u128(7)));
        let page = page::<(String, AgentId)>(Some(&cursor(&key)), None).unwrap();
        assert_eq!(
            page,
            PageRequest {
                after: Some(key),
                limit: 100
            }
        );
        let event: EventKey = (DateTime::from_timestamp_micros(-7).unwrap(), 9);
        assert_eq!(super::page(Some(&cursor(&event)), None).unwrap().after, Some(event));
        assert!(super::page::<EventKey>(Some(&cursor(&7_u64)), None).is_err());
        for (text, limit) in [("?", None), ("AAAA", None), ("", Some(0)), ("", Some(1001))] {
            assert!(super::page::<u64>(Some(text), limit).is_err(), "{text} {limit:?}");
        }
    }
}
