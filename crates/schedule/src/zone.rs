//! Time zones by name.
use crate::error::{ParseZoneError, nearest, shown};
use chrono::{DateTime, FixedOffset, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use std::{fmt, str::FromStr};

/// A time zone of the IANA database, by its name; UTC unless another is named.
///
/// The database is compiled in, and its rules reach to the year 2100. The zone of the machine is not asked for: that
/// would be I/O.
///
/// ```
/// use schedule::Zone;
/// let zone: Zone = "America/New_York".parse().unwrap();
/// assert_eq!(zone.to_string(), "America/New_York");
/// let error = "Berlin".parse::<Zone>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown time zone `Berlin`: did you mean `Europe/Berlin`?");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time, which knows no changes.
    pub const UTC: Self = Self(Tz::UTC);

    /// The name in the IANA database.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What clocks in this zone show at an instant.
    pub fn local(self, instant: DateTime<Utc>) -> DateTime<FixedOffset> {
        instant.with_timezone(&self.0).fixed_offset()
    }

    pub(crate) fn tz(self) -> Tz {
        self.0
    }
}

impl FromStr for Zone {
    type Err = ParseZoneError;

    fn from_str(text: &str) -> Result<Self, ParseZoneError> {
        text.trim().parse().map(Self).map_err(|_| ParseZoneError {
            found: shown(text.trim()),
            nearest: nearest_zone(text.trim()),
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The zone that was meant: of this city, or of a name like it.
fn nearest_zone(text: &str) -> Option<&'static str> {
    let city = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let wanted = text.replace(' ', "_");
    let is_meant = |name: &&str| name.eq_ignore_ascii_case(&wanted);
    names()
        .find(is_meant)
        .or_else(|| names().find(|name| city(name).eq_ignore_ascii_case(&wanted)))
        .or_else(|| nearest(&wanted, names()))
        .or_else(|| {
            let found = nearest(&wanted, names().map(city))?;
            names().find(|name| city(name) == found)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        for (text, wanted) in [
            ("Europe/Berln", Some("Europe/Berlin")),
            ("europe/berlin", Some("Europe/Berlin")),
            ("utc", Some("UTC")),
            ("New York", Some("America/New_York")),
            ("Havanna", Some("America/Havana")),
            ("Mars/Olympus_Mons", None),
            ("", None),
        ] {
            let error = text.parse::<Zone>().unwrap_err();
            assert_eq!(error.nearest, wanted, "{text}");
        }
        let hostile = "\u{1b}]0;x\u{7}".repeat(50).parse::<Zone>().unwrap_err();
        assert!(!hostile.to_string().contains(char::is_control) && hostile.to_string().chars().count() < 400);
    }
}
