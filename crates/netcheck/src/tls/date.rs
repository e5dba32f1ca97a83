//! Dates of certificates: seconds since 1970, before and after, as text that is read the same everywhere (RFC 3339).
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment so many seconds after (or before) the beginning of 1970.
///
/// A certificate may name any year up to 9999, which every system here can hold; what it cannot is its last moment.
pub(crate) fn moment(seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 {
        UNIX_EPOCH.checked_sub(span)
    } else {
        UNIX_EPOCH.checked_add(span)
    };
    moment.unwrap_or(UNIX_EPOCH)
}

/// Seconds since 1970, rounded down.
pub(crate) fn seconds(moment: SystemTime) -> i64 {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -whole - i64::from(before.subsec_nanos() > 0)
        }
    }
}

/// Whole days from one moment to another, rounded down: what ended an hour ago ended -1 days from now.
pub(crate) fn days_between(from: SystemTime, until: SystemTime) -> i64 {
    seconds(until).saturating_sub(seconds(from)).div_euclid(86_400)
}

/// Such as `2026-03-01`.
pub(crate) fn day(moment: SystemTime) -> String {
    let (year, month, day) = civil(seconds(moment).div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Such as `2026-03-01T12:30:00Z`.
#[cfg(feature = "serde")]
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    let within = seconds(moment).rem_euclid(86_400);
    format!(
        "{}T{:02}:{:02}:{:02}Z",
        day(moment),
        within / 3600,
        within / 60 % 60,
        within % 60
    )
}

/// Serializes a moment as RFC 3339.
#[cfg(feature = "serde")]
pub(crate) fn serialize<S: serde::Serializer>(moment: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*moment))
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
///
/// Years are counted from March here, so that the day that comes every four years is the last one; 400 years are one
/// period.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // The 1st of March of the year 0 is 719,468 days before 1970.
    let days = days + 719_468;
    let (period, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + period * 400 + next, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(day(moment(0)), "1970-01-01");
        assert_eq!(day(moment(951_782_400)), "2000-02-29");
        assert_eq!(day(moment(-1)), "1969-12-31");
        assert_eq!(day(moment(253_402_300_799)), "9999-12-31");
    }

    #[test]
    #[cfg(feature = "serde")]
    fn a_moment_is_written_to_the_second() {
        assert_eq!(rfc3339(moment(1_772_368_205)), "2026-03-01T12:30:05Z");
    }

    #[test]
    fn what_ended_an_hour_ago_has_no_day_left() {
        let now = moment(1_000_000);
        assert_eq!(days_between(now, moment(1_000_000 - 3_600)), -1);
        assert_eq!(days_between(now, moment(1_000_000 + 86_399)), 0);
        assert_eq!(days_between(now, moment(1_000_000 + 86_400)), 1);
    }

    proptest! {
        #[test]
        fn the_next_day_is_one_later_and_is_the_first_where_the_month_ends(days in -700_000_i64..3_000_000) {
            let (today, next) = (civil(days), civil(days + 1));
            let is_next = next == (today.0, today.1, today.2 + 1)
                || next == (today.0, today.1 + 1, 1)
                || next == (today.0 + 1, 1, 1);
            prop_assert!(is_next && today < next && (1..=12).contains(&today.1) && (1..=31).contains(&today.2));
        }

        #[test]
        fn seconds_survive(of in -62_167_219_200_i64..253_402_300_799) {
            prop_assert_eq!(seconds(moment(of)), of);
        }
    }
}
