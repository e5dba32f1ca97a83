//! `every 6h`: an anchor and a length of time, without calendar and zone.
use crate::error::{ParseScheduleError, shown};
use chrono::{DateTime, TimeDelta, Utc};

const UNITS: [(&str, i64); 5] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];

/// The longest period in seconds: a hundred years, so that no arithmetic comes near its bounds.
const LONGEST: i64 = 100 * 366 * 86_400;

const LENGTH: &str = "a length of time such as `30s`, `15m`, `6h`, `1h30m`, `7d` or `2w`";

/// Runs at the anchor and at each whole number of periods from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Every {
    /// In seconds, above zero.
    period: i64,
    anchor: DateTime<Utc>,
}

impl Every {
    /// Reads what stands behind `every`, which begins at this column.
    pub(crate) fn read(text: &str, column: usize) -> Result<Self, ParseScheduleError> {
        let wrong = |rest: &str, expected| ParseScheduleError::Every {
            column: column + text[..text.len() - rest.len()].chars().count(),
            found: shown(rest.split_whitespace().next().unwrap_or_default()),
            expected,
        };
        let mut rest = text;
        let mut period: i64 = 0;
        loop {
            let part = rest;
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, behind) = rest.split_at(digits);
            if number.is_empty() {
                return Err(wrong(part, LENGTH));
            }
            let letters = behind
                .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
                .unwrap_or(behind.len());
            let (unit, behind) = behind.split_at(letters);
            let Some((_, scale)) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)) else {
                return Err(wrong(part, "a number with one of the units s, m, h, d, w"));
            };
            let number: Option<i64> = number.parse().ok();
            let sum = number
                .and_then(|number| number.checked_mul(*scale))
                .and_then(|seconds| period.checked_add(seconds));
            period = sum
                .filter(|sum| *sum <= LONGEST)
                .ok_or_else(|| wrong(part, "a hundred years at most"))?;
            rest = behind.trim_start();
            if rest.is_empty() {
                break;
            }
        }
        if period == 0 {
            return Err(wrong(text, "a length of time above zero"));
        }
        let anchor = DateTime::UNIX_EPOCH;
        Ok(Self { period, anchor })
    }

    pub(crate) fn anchored_at(self, anchor: DateTime<Utc>) -> Self {
        Self { anchor, ..self }
    }

    pub(crate) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.nth(self.periods_until(after).checked_add(1)?)
    }

    pub(crate) fn last_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.nth(self.periods_until(until))
    }

    /// How many whole periods lie between the anchor and the instant, rounded down.
    fn periods_until(&self, instant: DateTime<Utc>) -> i64 {
        let since = instant.signed_duration_since(self.anchor);
        // Whole seconds towards minus infinity: a part of a second before the anchor is a second before it.
        let seconds = since.num_seconds() - i64::from(since.subsec_nanos() < 0);
        seconds.div_euclid(self.period)
    }

    fn nth(&self, number: i64) -> Option<DateTime<Utc>> {
        let since = TimeDelta::try_seconds(number.checked_mul(self.period)?)?;
        self.anchor.checked_add_signed(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("6h", 21_600),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("90S", 90),
            ("2w1d", 15 * 86_400),
            ("0h1m", 60),
        ] {
            assert_eq!(Every::read(text, 1).unwrap().period, seconds, "{text}");
        }
    }

    #[test]
    fn a_length_that_is_wrong_says_where_and_what_was_expected() {
        let wrong = |text: &str| Every::read(text, 7).unwrap_err().to_string();
        assert_eq!(wrong(""), format!("column 7: found ``, expected {LENGTH}"));
        assert_eq!(wrong("h"), format!("column 7: found `h`, expected {LENGTH}"));
        let unit = "expected a number with one of the units s, m, h, d, w";
        assert_eq!(wrong("6"), format!("column 7: found `6`, {unit}"));
        assert_eq!(wrong("1h 5ms"), format!("column 10: found `5ms`, {unit}"));
        assert_eq!(wrong("6 hours"), format!("column 7: found `6`, {unit}"));
        assert_eq!(
            wrong("0s"),
            "column 7: found `0s`, expected a length of time above zero"
        );
        assert_eq!(
            wrong("5300w"),
            "column 7: found `5300w`, expected a hundred years at most"
        );
        assert!(wrong("99999999999999999999s").ends_with("a hundred years at most"));
    }

    #[test]
    fn runs_lie_whole_periods_from_the_anchor_on_both_sides() {
        let instant = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let every = Every::read("6h", 1)
            .unwrap()
            .anchored_at(instant("2027-01-10T01:00:00.5Z"));
        for (at, last, next) in [
            (
                "2027-01-10T01:00:00.5Z",
                "2027-01-10T01:00:00.5Z",
                "2027-01-10T07:00:00.5Z",
            ),
            (
                "2027-01-10T01:00:00.4Z",
                "2027-01-09T19:00:00.5Z",
                "2027-01-10T01:00:00.5Z",
            ),
            (
                "2027-01-10T00:59:59Z",
                "2027-01-09T19:00:00.5Z",
                "2027-01-10T01:00:00.5Z",
            ),
            (
                "2027-01-12T00:00:00Z",
                "2027-01-11T19:00:00.5Z",
                "2027-01-12T01:00:00.5Z",
            ),
        ] {
            assert_eq!(every.last_until(instant(at)), Some(instant(last)), "{at}");
            assert_eq!(every.next_after(instant(at)), Some(instant(next)), "{at}");
        }
        assert_eq!(every.next_after(DateTime::<Utc>::MAX_UTC), None);
        assert_eq!(every.last_until(DateTime::<Utc>::MIN_UTC), None);
    }
}
