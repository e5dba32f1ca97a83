//! A path that arrives as it left, whatever bytes it is made of.
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};
use std::fmt;

/// A path as raw bytes. On the wire it is `path` as text when it is valid UTF-8; otherwise `path` is a lossy text for
/// people and `path_raw` beside it holds the bytes in base64.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WirePath(Vec<u8>);

impl WirePath {
    /// A path of these bytes.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Text for people: bytes that are no UTF-8 are replaced.
    pub fn display(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The base64 form, only where the text would lose something.
    pub fn raw(&self) -> Option<String> {
        std::str::from_utf8(&self.0).is_err().then(|| STANDARD.encode(&self.0))
    }

    /// Puts the two forms together again; `None` when `raw` is no base64.
    pub fn from_parts(text: &str, raw: Option<&str>) -> Option<Self> {
        match raw {
            Some(raw) => STANDARD.decode(raw).ok().map(Self),
            None => Some(Self(text.as_bytes().to_vec())),
        }
    }
}

impl fmt::Debug for WirePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    path: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    path_raw: Option<std::borrow::Cow<'a, str>>,
}

impl Serialize for WirePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = self.raw();
        let mut map = serializer.serialize_map(Some(1 + usize::from(raw.is_some())))?;
        map.serialize_entry("path", &self.display())?;
        if let Some(raw) = raw {
            map.serialize_entry("path_raw", &raw)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for WirePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        Self::from_parts(&parts.path, parts.path_raw.as_deref())
            .ok_or_else(|| serde::de::Error::custom("path_raw is not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_travel_unchanged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let path = WirePath::from_bytes(bytes);
            let json = serde_json::to_string(&path).unwrap();
            prop_assert_eq!(serde_json::from_str::<WirePath>(&json).unwrap(), path);
        }
    }
}
