//! Quantities as people write them: `100MB`, `30s`, `50%`.
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, time::Duration};

/// A text that is no quantity of the wanted kind. Says what was expected, with an example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("`{0}` is not a size: expected a number and a unit, such as `64KB`, `100MB` or `1GiB`")]
    Size(String),
    /// Not a length of time.
    #[error("`{0}` is not a duration: expected numbers and units, such as `500ms`, `30s`, `5m` or `1h30m`")]
    Period(String),
    /// Not a share.
    #[error("`{0}` is not a share: expected a percentage from `0%` to `100%`")]
    Share(String),
}

/// A number of bytes. Text takes `B`, `KB`, `MB`, `GB`, `TB` and `KiB` … `TiB`, all as powers of 1024, as
/// administrators mean them in settings; a bare number is bytes.
///
/// ```
/// use core_model::ByteSize;
/// let size: ByteSize = "64KB".parse().unwrap();
/// assert_eq!((size.bytes(), size.to_string().as_str()), (65536, "64KB"));
/// assert!("64 potatoes".parse::<ByteSize>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const SIZES: [(&str, u64); 5] = [
    ("TB", 1 << 40),
    ("GB", 1 << 30),
    ("MB", 1 << 20),
    ("KB", 1 << 10),
    ("B", 1),
];

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// A short form for people, rounded to one decimal: `1.4 GB`.
    pub fn human(self) -> String {
        let (unit, scale) = SIZES
            .into_iter()
            .find(|(_, scale)| self.0 >= *scale)
            .unwrap_or(("B", 1));
        if scale == 1 {
            format!("{} B", self.0)
        } else {
            format!("{:.1} {unit}", self.0 as f64 / scale as f64)
        }
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim().to_ascii_uppercase().replace("IB", "B");
        let scale = match unit.as_str() {
            "" => 1,
            "K" | "M" | "G" | "T" => SIZES
                .iter()
                .find(|(name, _)| name.starts_with(unit.as_str()))
                .map_or(1, |s| s.1),
            unit => SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
        };
        number.checked_mul(scale).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, scale): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*scale);
        let (unit, scale) = SIZES.iter().find(exact).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// A length of time in settings. Text joins numbers with `ms`, `s`, `m`, `h`, `d`, `w`: `1h30m`; `0s` is zero.
///
/// ```
/// use core_model::Period;
/// use std::time::Duration;
/// let period: Period = "1h30m".parse().unwrap();
/// assert_eq!(period.get(), Duration::from_secs(5400));
/// assert_eq!(period.to_string(), "1h30m");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

const PERIODS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Period {
    /// This long.
    pub const fn new(length: Duration) -> Self {
        Self(length)
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Period(text.to_owned());
        let mut rest = text.trim();
        let mut millis: u64 = 0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let scale = PERIODS
                .iter()
                .find(|(unit, _)| *unit == &rest[..letters])
                .ok_or_else(wrong)?
                .1;
            rest = rest[letters..].trim_start();
            millis = number
                .checked_mul(scale)
                .and_then(|part| millis.checked_add(part))
                .ok_or_else(wrong)?;
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in PERIODS {
            // Months and years are counted in days: `90d`, not `12w6d`.
            if unit == "w" && !millis.is_multiple_of(scale) {
                continue;
            }
            let count = millis / scale;
            millis %= scale;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// A share of a whole, written `50%`; a bare number is percent too, as the documents of older agents have it.
///
/// ```
/// use core_model::Share;
/// let share: Share = "12.5%".parse().unwrap();
/// assert_eq!((share.fraction(), share.to_string().as_str()), (0.125, "12.5%"));
/// assert!("101%".parse::<Share>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// So many percent, held to 0 … 100.
    pub const fn percent(percent: u8) -> Self {
        Self(if percent > 100 { 100.0 } else { percent as f64 })
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            _ => Err(UnitError::Share(text.to_owned())),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Text in, text out; a bare number is taken too, and an error carries the unit's own words.
macro_rules! serde_as_text {
    ($name:ident, $expects:literal, $pattern:literal) => {
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

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
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
                schemars::json_schema!({ "type": ["string", "number"], "description": $expects, "pattern": $pattern })
            }
        }
    };
}

serde_as_text!(
    ByteSize,
    "a size such as `64KB`, `100MB` or `1GiB`",
    r"^\s*\d+\s*([KMGTkmgt]?([Ii]?[Bb])?)\s*$"
);
serde_as_text!(
    Period,
    "a duration such as `30s`, `5m` or `1h30m`",
    r"^\s*(\d+\s*(ms|s|m|h|d|w)\s*)+$"
);
serde_as_text!(Share, "a percentage such as `50%`", r"^\s*\d+(\.\d+)?\s*%?\s*$");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1 kb", 1024),
            ("100MB", 104_857_600),
            ("2GiB", 2 << 30),
            ("3t", 3 << 40),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for (text, millis) in [("250ms", 250), ("7d", 604_800_000), ("1m 5s", 65_000), ("0s", 0)] {
            assert_eq!(text.parse::<Period>().unwrap().get().as_millis(), millis, "{text}");
        }
        for text in ["90d", "400d", "1d12h", "2w", "30m"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for wrong in ["", "-1s", "5", "5 parsecs", "s", "1h30", "99999999999999999w"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
        for wrong in ["", "MB", "-1MB", "1.5GB", "10XB", "99999999999TB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Share>("50").unwrap(), Share::percent(50));
        assert_eq!(ByteSize::new(1_503_238_554).human(), "1.4 GB");
    }

    proptest! {
        #[test]
        fn every_quantity_survives_its_own_text(bytes in any::<u64>(), millis in 0..u64::MAX / 2, percent in 0.0..=100.0) {
            prop_assert_eq!(ByteSize::new(bytes).to_string().parse::<ByteSize>().unwrap().bytes(), bytes);
            let period = Period::new(Duration::from_millis(millis));
            prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
            prop_assert_eq!(Share(percent).to_string().parse::<Share>().unwrap(), Share(percent));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (text.parse::<ByteSize>(), text.parse::<Period>(), text.parse::<Share>());
        }
    }
}
