//! Text that must never be seen.
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A key, token or password. Prints as `***` in `Debug`, `Display` and `Serialize`, so that it cannot reach a log, a
/// metric or an error by accident; [`Secret::reveal`] is the one way to its text.
///
/// ```
/// let key = core_model::Secret::new("s3cret");
/// assert_eq!(format!("{key} {key:?}"), "*** ***");
/// assert_eq!(key.reveal(), "s3cret");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call it where it is sent or compared, nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_leaves_by_a_format_or_a_serializer() {
        #[derive(Debug, Serialize)]
        struct Settings {
            api_key: Secret,
        }
        let settings = Settings {
            api_key: Secret::new("hunter2"),
        };
        let seen = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!seen.contains("hunter2"), "{seen}");
    }
}
