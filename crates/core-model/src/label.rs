//! Words by which agents are told apart in great numbers: labels with values, and sites.
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Labels that one agent may bear.
pub const MOST_LABELS: usize = 64;

/// Why a text is no [`LabelKey`], [`LabelValue`] or [`Site`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Too long.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// Something that would be ambiguous in a list, a shell or a table.
    #[error("holds `{0}`: letters, digits and {1} are allowed")]
    Character(char, &'static str),
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $longest:literal, $marks:literal, $shown:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = LabelError;

            fn from_str(text: &str) -> Result<Self, LabelError> {
                let is_fit = |c: char| c.is_ascii_alphanumeric() || $marks.contains(c);
                if let Some(unfit) = text.chars().find(|c| !is_fit(*c)) {
                    return Err(LabelError::Character(unfit, $shown));
                }
                match text.len() {
                    0 => Err(LabelError::Empty),
                    1..=$longest => Ok(Self(text.to_owned())),
                    _ => Err(LabelError::TooLong($longest)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Whole numbers and truth values count as their text: `rack: 12` in YAML is meant so.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a word of letters, digits and ", $shown))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        let parsed = text.parse();
                        parsed.map_err(|error| E::custom(format_args!("`{text}` {error}")))
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_bool<E: serde::de::Error>(self, is: bool) -> Result<$name, E> {
                        self.visit_str(if is { "true" } else { "false" })
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": ["string", "integer", "boolean"], "pattern": $pattern })
            }
        }
    };
}

word! {
    /// The name of a label: 1 to 63 letters, digits, `-`, `_`, `.` and `/`.
    LabelKey, 63, "-_./", "`-_./`", "^[A-Za-z0-9._/-]{1,63}$"
}

word! {
    /// The value of a label: 1 to 128 letters, digits, `-`, `_`, `.`, `/`, `:`, `@` and `+`.
    LabelValue, 128, "-_./:@+", "`-_./:@+`", "^[A-Za-z0-9._/:@+-]{1,128}$"
}

word! {
    /// Where an agent is, in one word, such as `fra1`: 1 to 63 letters, digits, `-`, `_`, `.` and `/`.
    Site, 63, "-_./", "`-_./`", "^[A-Za-z0-9._/-]{1,63}$"
}

/// Labels by name.
///
/// ```
/// let labels: core_model::Labels = [("tier".parse().unwrap(), "web".parse().unwrap())].into();
/// let wanted: core_model::LabelMatch = "tier=web".parse().unwrap();
/// assert!(wanted.fits(&labels));
/// ```
pub type Labels = BTreeMap<LabelKey, LabelValue>;

/// Which agents are meant, by one label: `tier=web`, or `tier` for any value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelMatch {
    /// The label.
    pub key: LabelKey,
    /// Its value; any where there is none.
    pub value: Option<LabelValue>,
}

impl LabelMatch {
    /// Whether such a label is among `labels`.
    pub fn fits(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

impl FromStr for LabelMatch {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            key: key.parse()?,
            value,
        })
    }
}

impl fmt::Display for LabelMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => write!(f, "{}", self.key),
        }
    }
}

impl Serialize for LabelMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LabelMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| serde::de::Error::custom(format_args!("`{text}` {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let parsed = pairs
            .iter()
            .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
        parsed.collect()
    }

    #[test]
    fn a_match_wants_the_value_or_any() {
        let labels = labels(&[("tier", "web"), ("env", "prod")]);
        let fits = |text: &str| text.parse::<LabelMatch>().unwrap().fits(&labels);
        assert!(fits("tier=web") && fits("env"));
        assert!(!fits("tier=db") && !fits("zone") && !fits("Tier"));
    }

    #[test]
    fn what_is_unfit_is_refused_with_the_reason() {
        assert_eq!("".parse::<LabelKey>().unwrap_err().to_string(), "is empty");
        assert_eq!("x".repeat(64).parse::<Site>(), Err(LabelError::TooLong(63)));
        assert!(matches!(
            "a b".parse::<LabelValue>(),
            Err(LabelError::Character(' ', _))
        ));
        assert!(matches!(
            "a=b=c".parse::<LabelMatch>(),
            Err(LabelError::Character('=', _))
        ));
        assert_eq!("tier=".parse::<LabelMatch>(), Err(LabelError::Empty));
        assert_eq!("=web".parse::<LabelMatch>(), Err(LabelError::Empty));
        let error = serde_json::from_str::<Labels>(r#"{"ti er": "web"}"#).unwrap_err();
        assert!(error.to_string().contains("`ti er` holds ` `"), "{error}");
    }

    #[test]
    fn numbers_and_truth_values_count_as_their_text() {
        let read: Labels = serde_json::from_str(r#"{"rack": 12, "virtual": true, "tier": "web"}"#).unwrap();
        assert_eq!(read, labels(&[("rack", "12"), ("virtual", "true"), ("tier", "web")]));
        let error = serde_json::from_str::<Labels>(r#"{"rack": 1.5}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("a word of letters"), "{error}");
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_it_was(text in "\\PC{0,70}") {
            if let Ok(parsed) = text.parse::<LabelMatch>() {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }
    }
}
