//! One field of a cron schedule: its text, and the values that it stands for.
use crate::error::{FieldProblem, nearest, shown};
use std::{collections::BTreeSet, fmt};

/// A field of a cron schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 0 to 59; the first of six or seven fields.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or a name.
    Month,
    /// 0 to 7, or a name; Sunday is 0 and 7.
    DayOfWeek,
    /// 1970 to 2100; the last of seven fields.
    Year,
}

const MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];

const DAYS: [&str; 7] = [
    "SUNDAY",
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
];

/// How many letters of a name there must be.
const SHORT: usize = 3;

impl Field {
    /// Five fields, with the second before them and the year behind them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::DayOfMonth,
        Self::Month,
        Self::DayOfWeek,
        Self::Year,
    ];

    /// The smallest and the largest number that may be written.
    pub(crate) const fn bounds(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
            Self::Year => (1970, 2100),
        }
    }

    /// How many different values there are.
    const fn count(self) -> u16 {
        let (least, most) = self.bounds();
        match self {
            Self::DayOfWeek => 7,
            _ => most - least + 1,
        }
    }

    /// The name of the first value and those behind it.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &DAYS,
            _ => &[],
        }
    }

    fn expected(self) -> String {
        let (least, most) = self.bounds();
        let names = match self {
            Self::Month => ", or a name from JAN to DEC",
            Self::DayOfWeek => " (0 and 7 are Sunday), or a name from SUN to SAT",
            _ => "",
        };
        format!("a number from {least} to {most}{names}")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
            Self::Year => "year",
        })
    }
}

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Values {
    /// Every value; Sunday is 0.
    pub(crate) set: BTreeSet<u16>,
    /// A bare `*` or `?`, the only text that POSIX takes for "not restricted".
    pub(crate) is_star: bool,
    /// There is a `*` or a step in it, so that it speaks of an interval and not of fixed times.
    pub(crate) is_interval: bool,
    /// It begins with `*/`.
    pub(crate) is_star_step: bool,
}

/// Reads a field. The number of an error is the byte of the text at which the part at fault begins.
pub(crate) fn read(field: Field, text: &str) -> Result<Values, (usize, FieldProblem)> {
    let is_star = is_any(field, text);
    let mut set = BTreeSet::new();
    let mut at = 0;
    for item in text.split(',') {
        add(field, item, &mut set).map_err(|(offset, problem)| (at + offset, problem))?;
        at += item.len() + 1;
    }
    Ok(Values {
        set,
        is_star,
        is_interval: is_star || text.contains(['*', '/']),
        is_star_step: text.starts_with("*/"),
    })
}

/// `?` is what some dialects write for `*` in a field for days.
fn is_any(field: Field, text: &str) -> bool {
    text == "*" || (text == "?" && matches!(field, Field::DayOfMonth | Field::DayOfWeek))
}

/// Adds what one part between commas stands for.
fn add(field: Field, item: &str, set: &mut BTreeSet<u16>) -> Result<(), (usize, FieldProblem)> {
    let (least, most) = field.bounds();
    // Sunday as 7 is a way to write it, not another day.
    let last = least + field.count() - 1;
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some((range.len() + 1, step))),
        None => (item, None),
    };
    let (from, to) = if is_any(field, range) {
        (least, last)
    } else if let Some((from, to)) = range.split_once('-') {
        let behind = from.len() + 1;
        (
            value(field, from).map_err(|problem| (0, problem))?,
            value(field, to).map_err(|problem| (behind, problem))?,
        )
    } else {
        let from = value(field, range).map_err(|problem| (0, problem))?;
        (from, if step.is_some() { last.max(from) } else { from })
    };
    let to = match (to < from, field) {
        (false, _) => to,
        (true, Field::Year) => return Err((0, FieldProblem::Backwards { found: shown(range) })),
        (true, _) => to + field.count(),
    };
    let step = match step {
        Some((at, step)) => self::step(field, step).map_err(|problem| (at, problem))?,
        None => 1,
    };
    let wrapped = |number: u16| {
        if number > most.min(last) {
            number - field.count()
        } else {
            number
        }
    };
    set.extend((from..=to).step_by(usize::from(step)).map(wrapped));
    Ok(())
}

fn value(field: Field, text: &str) -> Result<u16, FieldProblem> {
    if text.is_empty() {
        return Err(FieldProblem::Missing {
            expected: field.expected(),
        });
    }
    let (least, most) = field.bounds();
    let written = number(text).filter(|number| (least..=most).contains(number));
    written.or_else(|| named(field, text)).ok_or_else(|| {
        // Only letters are a misspelt name; the short form is what people write.
        let short = field.names().iter().map(|name| &name[..SHORT]);
        let meant = text.bytes().all(|byte| byte.is_ascii_alphabetic());
        let meant = meant.then(|| nearest(text, short.chain(field.names().iter().copied())));
        FieldProblem::Value {
            found: shown(text),
            expected: match meant.flatten() {
                Some(name) => format!("{}: did you mean `{name}`?", field.expected()),
                None => field.expected(),
            },
        }
    })
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A name of at least three letters, written out as far as one likes: `TUE`, `Tues`, `tuesday`.
fn named(field: Field, text: &str) -> Option<u16> {
    let text = text.to_ascii_uppercase();
    let place = field
        .names()
        .iter()
        .position(|name| text.len() >= SHORT && name.starts_with(&text))?;
    Some(field.bounds().0 + u16::try_from(place).ok()?)
}

fn step(field: Field, text: &str) -> Result<u16, FieldProblem> {
    let most = field.count();
    number(text)
        .filter(|step| (1..=most).contains(step))
        .ok_or_else(|| match text {
            "" => FieldProblem::Missing {
                expected: format!("a step from 1 to {most}"),
            },
            _ => FieldProblem::Step {
                found: shown(text),
                most,
            },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: Field, text: &str, wanted: &[u16]) {
        let values = read(field, text).unwrap();
        assert_eq!(values.set.into_iter().collect::<Vec<_>>(), wanted, "{field} {text}");
    }

    #[test]
    fn fields_are_read_as_people_write_them() {
        check(Field::Minute, "*/20", &[0, 20, 40]);
        check(Field::Minute, "50/3", &[50, 53, 56, 59]);
        check(Field::Minute, "05,5,1-3", &[1, 2, 3, 5]);
        check(Field::Hour, "22-2", &[0, 1, 2, 22, 23]);
        check(Field::Hour, "22-4/3", &[1, 4, 22]);
        check(Field::DayOfMonth, "30-2", &[1, 2, 30, 31]);
        check(Field::Month, "nov-Feb", &[1, 2, 11, 12]);
        check(Field::Month, "Sept,december", &[9, 12]);
        check(Field::DayOfWeek, "FRI-MON", &[0, 1, 5, 6]);
        check(Field::DayOfWeek, "fri-sun", &[0, 5, 6]);
        check(Field::DayOfWeek, "7", &[0]);
        check(Field::DayOfWeek, "5-7", &[0, 5, 6]);
        check(Field::DayOfWeek, "7-2", &[0, 1, 2]);
        check(Field::DayOfWeek, "0-7", &[0, 1, 2, 3, 4, 5, 6]);
        check(Field::DayOfWeek, "6-7/2,7/3", &[0, 6]);
        check(Field::DayOfWeek, "*/2", &[0, 2, 4, 6]);
        check(Field::DayOfWeek, "Tues,thurs", &[2, 4]);
        check(Field::Year, "2027-2029,2100", &[2027, 2028, 2029, 2100]);
        assert_eq!(read(Field::Month, "?").unwrap_err().0, 0);
        assert!(read(Field::DayOfMonth, "?").unwrap().is_star);
    }

    #[test]
    fn a_field_that_is_wrong_says_where_and_what_was_expected() {
        let wrong = |field, text: &str| {
            let (at, problem) = read(field, text).unwrap_err();
            format!("{at}: {problem}")
        };
        assert_eq!(
            wrong(Field::Minute, "60"),
            "0: found `60`, expected a number from 0 to 59"
        );
        assert_eq!(
            wrong(Field::Minute, "1,+2"),
            "2: found `+2`, expected a number from 0 to 59"
        );
        assert_eq!(
            wrong(Field::Minute, "1,,2"),
            "2: a value is missing, expected a number from 0 to 59"
        );
        assert_eq!(
            wrong(Field::Hour, "1-"),
            "2: a value is missing, expected a number from 0 to 23"
        );
        assert_eq!(
            wrong(Field::Hour, "1-3/0"),
            "4: found the step `0`, expected a number from 1 to 24"
        );
        assert_eq!(
            wrong(Field::Hour, "*/25"),
            "2: found the step `25`, expected a number from 1 to 24"
        );
        assert_eq!(
            wrong(Field::Hour, "*/"),
            "2: a value is missing, expected a step from 1 to 24"
        );
        assert_eq!(
            wrong(Field::Year, "2030-2027"),
            "0: the range `2030-2027` ends before it begins"
        );
        assert_eq!(
            wrong(Field::Month, "JAM"),
            "0: found `JAM`, expected a number from 1 to 12, or a name from JAN to DEC: did you mean `JAN`?"
        );
        assert_eq!(
            wrong(Field::DayOfWeek, "MON-8"),
            "4: found `8`, expected a number from 0 to 7 (0 and 7 are Sunday), or a name from SUN to SAT"
        );
        assert!(wrong(Field::DayOfMonth, "L").starts_with("0: found `L`, expected a number from 1 to 31"));
        assert_eq!(
            wrong(Field::Minute, "\u{1b}[2J"),
            "0: found `\\u{1b}[2J`, expected a number from 0 to 59"
        );
    }
}
