//! A schedule from text.
use crate::{
    calendar::Calendar,
    error::{ParseScheduleError, nearest, shown},
    every::Every,
    field::{self, Field, Values},
};
use chrono::{DateTime, Utc};
use std::{fmt, hash, str::FromStr};

/// When a job runs.
///
/// | text | runs |
/// | --- | --- |
/// | `30 2 * * *` | five fields: minute, hour, day of month, month, day of week |
/// | `0 30 2 * * *` | six: the second before them |
/// | `0 30 2 * * * 2027` | seven: the year behind them |
/// | `@hourly` `@daily` `@midnight` `@weekly` `@monthly` `@yearly` `@annually` | at the beginning of each |
/// | `every 6h`, `every 1h30m` | at each whole period (`s`, `m`, `h`, `d`, `w`) from an anchor, whatever clocks show |
///
/// Fields are those of POSIX: `*`, numbers, names (`MON`, `Monday`), ranges, lists, and steps. A range may go round
/// (`22-2`, `FRI-MON`); 0 and 7 are Sunday; `5/10` is every tenth from five. Where both the day of month and the day of
/// week are restricted, which is whenever they are not a bare `*`, either suffices. Runs lie in the years 1970 to 2100.
///
/// **When clocks change**, a job with a fixed minute and hour neither doubles nor vanishes: one that lies in a gap runs
/// at the first instant after it, and in an hour that comes twice it runs in the first pass. One with a `*` or a step in
/// the minute or the hour is an interval, which goes on as clocks show it: not in a gap, and in both passes.
///
/// Two schedules are equal when they are written alike.
///
/// ```
/// use schedule::{Schedule, Zone};
/// let schedule: Schedule = "0 9-17/4 * * MON-FRI".parse().unwrap();
/// let friday = "2027-01-08T13:00:00Z".parse().unwrap();
/// let next = schedule.next_after(friday, Zone::UTC).unwrap();
/// assert_eq!(next.to_rfc3339(), "2027-01-08T17:00:00+00:00");
/// assert_eq!(schedule.to_string(), "0 9-17/4 * * MON-FRI");
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    pub(crate) kind: Kind,
    warnings: Vec<Warning>,
}

/// How runs are found.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Calendar(Box<Calendar>),
    Every(Every),
}

/// What a schedule says that was perhaps not meant. It is taken all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// No day is ever like this, as the thirty-first of February.
    NeverDue,
    /// The named field for days begins with `*/` while the other one is restricted too. Some programs take that for
    /// "both must hold"; here, as in POSIX, either suffices.
    EitherDay {
        /// The field with the step.
        field: Field,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverDue => f.write_str("no day is ever like this: the schedule never comes"),
            Self::EitherDay { field } => {
                let other = match field {
                    Field::DayOfWeek => Field::DayOfMonth,
                    _ => Field::DayOfWeek,
                };
                write!(
                    f,
                    "the {field} and the {other} are both restricted, and a day that fits either is taken; write `*` \
                     for the {field} if the {other} alone shall count"
                )
            }
        }
    }
}

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Schedule {
    /// What it says that was perhaps not meant, for whoever reads settings to pass on.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Counts the periods of `every` from this instant on, and not from the beginning of 1970. A calendar has no anchor.
    #[must_use]
    pub fn anchored_at(mut self, anchor: DateTime<Utc>) -> Self {
        self.anchor(anchor);
        self
    }

    pub(crate) fn anchor(&mut self, anchor: DateTime<Utc>) {
        if let Kind::Every(every) = &mut self.kind {
            *every = every.anchored_at(anchor);
        }
    }

    /// Whether it is an `every`, which has no calendar.
    pub(crate) fn is_every(&self) -> bool {
        matches!(self.kind, Kind::Every(_))
    }

    /// Whether it runs at times of day, and not at intervals.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(&self.kind, Kind::Calendar(calendar) if calendar.is_fixed())
    }
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        // Columns are those of the text as it stands in a file, blanks before it included.
        let column = |byte: usize| text[..byte].chars().count() + 1;
        let begin = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        let first = trimmed.split_whitespace().next().ok_or(ParseScheduleError::Empty)?;
        let (kind, warnings) = if first.eq_ignore_ascii_case("every") {
            let length = trimmed[first.len()..].trim_start();
            let at = begin + trimmed.len() - length.len();
            (Kind::Every(Every::read(length, column(at))?), Vec::new())
        } else if first.starts_with('@') {
            calendar(nickname(trimmed, column(begin))?, |byte| byte + 1)?
        } else {
            calendar(text, column)?
        };
        Ok(Self {
            text: trimmed.to_owned(),
            kind,
            warnings,
        })
    }
}

fn nickname(text: &str, column: usize) -> Result<&'static str, ParseScheduleError> {
    let is_it = |(name, _): &&(&str, &str)| text.eq_ignore_ascii_case(name);
    let names = || NICKNAMES.iter().map(|(name, _)| *name);
    NICKNAMES.iter().find(is_it).map(|(_, fields)| *fields).ok_or_else(|| {
        let every = text
            .get(.."@every".len())
            .filter(|word| word.eq_ignore_ascii_case("@every"));
        let expected = match (every, nearest(text, names())) {
            (Some(_), _) => "`every` without `@`, such as `every 6h`".to_owned(),
            (_, Some(name)) => format!("the name of a schedule: did you mean `{name}`?"),
            _ => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
        };
        ParseScheduleError::Nickname {
            column,
            found: shown(text),
            expected,
        }
    })
}

fn calendar(text: &str, column: impl Fn(usize) -> usize) -> Result<(Kind, Vec<Warning>), ParseScheduleError> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let fields = match parts.len() {
        5 => &Field::ALL[1..6],
        6 => &Field::ALL[..6],
        7 => &Field::ALL[..],
        found => return Err(ParseScheduleError::FieldCount { found }),
    };
    // What is not written: at the full minute, in each year.
    let unwritten = |field: Field| Values {
        set: [0].into(),
        is_star: field == Field::Year,
        is_interval: false,
        is_star_step: false,
    };
    let mut values = Field::ALL.map(unwritten);
    let mut from = 0;
    for (field, part) in fields.iter().zip(parts) {
        // The parts come in order, so the next one stands at or behind the end of the last.
        let begin = from + text[from..].find(part).unwrap_or_default();
        from = begin + part.len();
        let read = field::read(*field, part).map_err(|(byte, problem)| ParseScheduleError::Field {
            field: *field,
            column: column(begin + byte),
            problem,
        })?;
        if let Some(place) = Field::ALL.iter().position(|other| other == field) {
            values[place] = read;
        }
    }
    let calendar = Calendar::new(&values)?;
    let mut warnings = Vec::new();
    let [_, _, _, day, _, weekday, _] = &values;
    for (field, here, other) in [(Field::DayOfMonth, day, weekday), (Field::DayOfWeek, weekday, day)] {
        if here.is_star_step && !other.is_star {
            warnings.push(Warning::EitherDay { field });
        }
    }
    if calendar.is_never_due() {
        warnings.push(Warning::NeverDue);
    }
    Ok((Kind::Calendar(Box::new(calendar)), warnings))
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl hash::Hash for Schedule {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
