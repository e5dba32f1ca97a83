//! Quantities and ids.
use crate::text::text;
use core_model::{AgentId, BatchId, ByteSize, Period, Share, StreamId};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

/// Sizes, lengths of time and shares, as text and as a value of JSON.
///
/// # Panics
/// When one that was written is read back as another.
pub fn units(data: &[u8]) {
    let Some(text) = text(data) else { return };
    comes_back::<ByteSize>(text);
    comes_back::<Period>(text);
    comes_back::<Share>(text);
    if let Ok(size) = text.parse::<ByteSize>() {
        assert!(!size.human().is_empty());
    }
    if let Ok(share) = text.parse::<Share>() {
        assert!((0.0..=1.0).contains(&share.fraction()), "{share}");
    }
}

/// Ids, as text and as a value of JSON.
///
/// # Panics
/// When one that was written is read back as another.
pub fn ids(data: &[u8]) {
    let Some(text) = text(data) else { return };
    comes_back::<AgentId>(text);
    comes_back::<StreamId>(text);
    comes_back::<BatchId>(text);
}

fn comes_back<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq + Serialize + DeserializeOwned,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            let again = shown.parse::<T>();
            assert!(
                again.is_ok_and(|again| again == value),
                "{text:?} was written as {shown:?}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(value) = serde_json::from_str::<T>(text) {
        let json = serde_json::to_string(&value).unwrap_or_default();
        let again = serde_json::from_str::<T>(&json);
        assert!(again.is_ok_and(|again| again == value), "{text:?} became {json}");
    }
}
