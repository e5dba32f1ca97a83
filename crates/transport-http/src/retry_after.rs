//! The wait that a server asks for (RFC 9110, section 10.2.3): a number of seconds, or a date.
use chrono::{DateTime, Utc};
use std::time::Duration;

/// How long to wait from `now`, at most `longest`; `None` if the text is neither seconds nor a date.
///
/// A date that has passed means at once.
pub(crate) fn parse(text: &str, now: DateTime<Utc>, longest: Duration) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large to read is certainly beyond the longest.
        return Some(text.parse().map_or(longest, Duration::from_secs).min(longest));
    }
    let date = DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?);
    Some((date - now).to_std().unwrap_or(Duration::ZERO).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::SystemTime;

    const LONGEST: Duration = Duration::from_secs(300);

    fn noon() -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn seconds_and_all_three_kinds_of_date() {
        for (text, seconds) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Sat, 21 Nov 2026 12:00:30 GMT", Some(30)),
            ("Saturday, 21-Nov-26 12:01:00 GMT", Some(60)),
            ("Sat Nov 21 12:02:00 2026", Some(120)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", Some(0)),
            ("Sun, 21 Nov 2027 12:00:00 GMT", Some(300)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(parse(text, noon(), LONGEST), seconds.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_wait_is_longer_than_allowed(text in ".*", longest in 0u64..1000) {
            let longest = Duration::from_secs(longest);
            prop_assert!(parse(&text, noon(), longest).unwrap_or_default() <= longest);
        }

        #[test]
        fn every_number_of_seconds_is_kept(seconds in 0u64..=300) {
            prop_assert_eq!(parse(&seconds.to_string(), noon(), LONGEST), Some(Duration::from_secs(seconds)));
        }

        #[test]
        fn every_date_is_the_time_until_then(ahead in 0u64..=300) {
            let date = SystemTime::from(noon()) + Duration::from_secs(ahead);
            prop_assert_eq!(parse(&httpdate::fmt_http_date(date), noon(), LONGEST), Some(Duration::from_secs(ahead)));
        }
    }
}
