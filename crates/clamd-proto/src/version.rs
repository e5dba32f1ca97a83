//! The replies to `VERSION` and `VERSIONCOMMANDS`.
use crate::reply::ReplyError;
use std::fmt;

/// Which engine answers, and by which signatures it judges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The engine's version, such as `1.4.6`.
    pub engine: String,
    /// The official daily database; `None` where clamd has loaded none. Other databases do not show in a version.
    pub database: Option<DatabaseVersion>,
}

/// The version of the official daily database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseVersion {
    /// Its number, one more with each.
    pub number: u32,
    /// When it was made, by the clock and in the time zone of clamd's host: clamd tells no zone.
    pub made: LocalTime,
}

/// A date and a time of day without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalTime {
    /// The year.
    pub year: u16,
    /// The month, from 1 to 12.
    pub month: u8,
    /// The day of the month, from 1 to 31.
    pub day: u8,
    /// The hour, from 0 to 23.
    pub hour: u8,
    /// The minute, from 0 to 59.
    pub minute: u8,
    /// The second, from 0 to 60.
    pub second: u8,
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Version {
    /// Reads the reply to `VERSION`, with or without a database.
    ///
    /// ```
    /// use clamd_proto::Version;
    /// let version = Version::parse(b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026")?;
    /// let database = version.database.unwrap();
    /// assert_eq!((database.number, database.made.to_string().as_str()), (27815, "2026-11-18T08:20:00"));
    /// assert_eq!(Version::parse(b"ClamAV 1.4.6")?.database, None);
    /// # Ok::<(), clamd_proto::ReplyError>(())
    /// ```
    ///
    /// # Errors
    /// When it is no such reply.
    pub fn parse(reply: &[u8]) -> Result<Self, ReplyError> {
        read_version(reply).ok_or_else(|| ReplyError::new(reply))
    }

    /// Reads the reply to `VERSIONCOMMANDS`: the version and the commands' words.
    ///
    /// # Errors
    /// When it is no such reply.
    pub fn parse_with_commands(reply: &[u8]) -> Result<(Self, Vec<String>), ReplyError> {
        let read = || {
            let text = std::str::from_utf8(reply).ok()?;
            let (version, commands) = text.split_once("| COMMANDS:")?;
            let commands: Vec<String> = commands.split_ascii_whitespace().map(str::to_owned).collect();
            let is_word = |word: &String| word.bytes().all(|byte| byte.is_ascii_uppercase());
            let sound = !commands.is_empty() && commands.iter().all(is_word);
            Some((read_version(version.as_bytes())?, commands)).filter(|_| sound)
        };
        read().ok_or_else(|| ReplyError::new(reply))
    }
}

fn read_version(reply: &[u8]) -> Option<Version> {
    let text = std::str::from_utf8(reply).ok()?.strip_prefix("ClamAV ")?;
    let (engine, database) = match text.split_once('/') {
        None => (text, None),
        Some((engine, rest)) => {
            let (number, made) = rest.split_once('/')?;
            let number = digits(number)?;
            let made = LocalTime::parse(made)?;
            (engine, Some(DatabaseVersion { number, made }))
        }
    };
    let sound = !engine.is_empty() && engine.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'|');
    sound.then(|| Version {
        engine: engine.to_owned(),
        database,
    })
}

/// A number of digits alone: the standard library's parser takes a sign too.
fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl LocalTime {
    /// Reads C's `ctime`: `Wed Nov 18 08:20:00 2026`, the day padded with a space.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let weekday = words.next()?;
        DAYS.iter().find(|day| **day == weekday)?;
        let month = words.next()?;
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        let day = digits(words.next()?)?;
        let mut clock = words.next()?.split(':');
        let time = Self {
            year: digits(words.next()?)?,
            month: u8::try_from(month).ok()?,
            day,
            hour: digits(clock.next()?)?,
            minute: digits(clock.next()?)?,
            second: digits(clock.next()?)?,
        };
        let is_all = words.next().is_none() && clock.next().is_none();
        let in_range = (1..=31).contains(&time.day) && time.hour < 24 && time.minute < 60 && time.second <= 60;
        (is_all && in_range).then_some(time)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClamAV {}", self.engine)?;
        match &self.database {
            Some(database) => write!(f, ", database {} of {}", database.number, database.made),
            None => f.write_str(", no official database"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMMANDS: &[u8] = b"ClamAV 1.4.6| COMMANDS: SCAN QUIT RELOAD PING CONTSCAN VERSIONCOMMANDS VERSION END \
        SHUTDOWN MULTISCAN FILDES STATS IDSESSION INSTREAM DETSTATSCLEAR DETSTATS ALLMATCHSCAN";

    #[test]
    fn a_version_without_an_official_database_has_no_slashes() {
        let version = Version::parse(b"ClamAV 1.4.6").unwrap();
        assert_eq!(version.to_string(), "ClamAV 1.4.6, no official database");
    }

    #[test]
    fn a_day_below_ten_is_padded_with_a_space() {
        let version = Version::parse(b"ClamAV 1.5.0-rc/27001/Sun Nov  1 23:59:60 2026").unwrap();
        let database = version.database.unwrap();
        assert_eq!(database.made.to_string(), "2026-11-01T23:59:60");
        assert_eq!(version.engine, "1.5.0-rc");
    }

    #[test]
    fn the_commands_stand_behind_the_version() {
        let (version, commands) = Version::parse_with_commands(COMMANDS).unwrap();
        assert_eq!(version.engine, "1.4.6");
        assert_eq!(commands.len(), 17);
        assert!(commands.contains(&"ALLMATCHSCAN".to_owned()));
        let with = COMMANDS.strip_prefix(b"ClamAV 1.4.6").unwrap();
        let with = [&b"ClamAV 1.4.6/27815/Sat Nov 21 15:21:19 2026"[..], with].concat();
        let (version, again) = Version::parse_with_commands(&with).unwrap();
        assert_eq!(
            (version.database.map(|database| database.number), again),
            (Some(27815), commands)
        );
    }

    #[test]
    fn what_is_cut_or_odd_is_an_error() {
        let whole = b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026";
        let (shortest, cut) = (b"ClamAV 1".len(), b"ClamAV 1.4.6".len());
        for length in (0..shortest).chain(cut + 1..whole.len() - 3) {
            assert!(Version::parse(&whole[..length]).is_err(), "{length}");
        }
        for odd in [
            &b"ClamAV 1.4.6/-1/Wed Nov 18 08:20:00 2026"[..],
            b"ClamAV 1.4.6/27815/Wed Nov 32 08:20:00 2026",
            b"ClamAV 1.4.6/27815/Wed Nov 18 24:20:00 2026",
            b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026 UTC",
            b"ClamAV 1.4.6/99999999999/Wed Nov 18 08:20:00 2026",
            b"ClamAV \xff",
            b"ClamAV 1.4.6| COMMANDS: PING",
            b"UNKNOWN COMMAND",
        ] {
            assert!(Version::parse(odd).is_err(), "{}", odd.escape_ascii());
        }
        assert!(Version::parse_with_commands(b"ClamAV 1.4.6").is_err());
        assert!(Version::parse_with_commands(b"ClamAV 1.4.6| COMMANDS: ").is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            number in any::<u32>(), year in 1970u16..3000, month in 1u8..=12, day in 1u8..=31,
            hour in 0u8..24, minute in 0u8..60, second in 0u8..=60,
        ) {
            let name = MONTHS[usize::from(month) - 1];
            let text = format!("ClamAV 1.4.6/{number}/Mon {name} {day:>2} {hour:02}:{minute:02}:{second:02} {year}");
            let made = LocalTime { year, month, day, hour, minute, second };
            let read = Version::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.database, Some(DatabaseVersion { number, made }));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _: Result<Version, ReplyError> = Version::parse(&[b"ClamAV 1/", bytes.as_slice()].concat());
            let _: Result<(Version, Vec<String>), ReplyError> = Version::parse_with_commands(&bytes);
        }
    }
}
