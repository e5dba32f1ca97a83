//! Text in, text out, for serde and for JSON Schema.
use crate::{Schedule, Zone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! serde_as_text {
    ($name:ident, $expects:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expects)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $expects })
            }
        }
    };
}

serde_as_text!(Schedule, "a schedule such as `30 2 * * *`, `@daily` or `every 6h`");
serde_as_text!(Zone, "`UTC` or a time zone such as `Europe/Berlin`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_and_zones_are_text() {
        let schedule: Schedule = serde_json::from_str("\" every 6h \"").unwrap();
        assert_eq!(serde_json::to_string(&schedule).unwrap(), "\"every 6h\"");
        let zone: Zone = serde_json::from_str("\"Europe/Berlin\"").unwrap();
        assert_eq!(serde_json::to_string(&zone).unwrap(), "\"Europe/Berlin\"");
        let error = serde_json::from_str::<Schedule>("\"every 6\"").unwrap_err().to_string();
        assert!(error.contains("column 7: found `6`"), "{error}");
        let error = serde_json::from_str::<Zone>("5").unwrap_err().to_string();
        assert!(error.contains("expected `UTC` or a time zone"), "{error}");
    }
}
