//! What can be wrong with the text of a schedule or of a time zone.
use crate::field::Field;

/// Why a text is no schedule. Columns count characters of the text from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseScheduleError {
    /// There is nothing but blanks.
    #[error("a schedule is empty: expected cron fields, `@daily` or `every 6h`")]
    Empty,
    /// Not five, six or seven fields.
    #[error(
        "found {found} {}, expected 5 fields (minute, hour, day of month, month, day of week), 6 with the second before \
         them, 7 with the year behind them, or a form like `@daily` or `every 6h`",
        if *.found == 1 { "field" } else { "fields" }
    )]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A name with `@` that stands for no schedule.
    #[error("column {column}: found `{found}`, expected {expected}")]
    Nickname {
        /// Where the name begins.
        column: usize,
        /// The name, fit to be shown.
        found: String,
        /// What would be right, the nearest name where one is near.
        expected: String,
    },
    /// A field of a cron schedule.
    #[error("column {column}: {field}: {problem}")]
    Field {
        /// Which.
        field: Field,
        /// Where the part at fault begins.
        column: usize,
        /// What is wrong with it.
        problem: FieldProblem,
    },
    /// The length of time behind `every`.
    #[error("column {column}: found `{found}`, expected {expected}")]
    Every {
        /// Where the part at fault begins.
        column: usize,
        /// The part at fault, fit to be shown.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The cron library refuses what was read as right here: a defect of this crate.
    #[error("the schedule could not be prepared")]
    Cron(#[source] CronError),
}

/// An error of the cron library, by its text: it is neither `Clone` nor comparable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(pub(crate) String);

/// What is wrong with a part of a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldProblem {
    /// Not a value of this field.
    #[error("found `{found}`, expected {expected}")]
    Value {
        /// The part at fault, fit to be shown.
        found: String,
        /// What would be right, the nearest name where one is near.
        expected: String,
    },
    /// Nothing stands before, between or behind commas, `-` or `/`.
    #[error("a value is missing, expected {expected}")]
    Missing {
        /// What would be right.
        expected: String,
    },
    /// A step of zero, or one that reaches beyond the field.
    #[error("found the step `{found}`, expected a number from 1 to {most}")]
    Step {
        /// The step, fit to be shown.
        found: String,
        /// The largest that makes sense here.
        most: u16,
    },
    /// A range of years that ends before it begins. In the other fields such a range goes round.
    #[error("the range `{found}` ends before it begins")]
    Backwards {
        /// The range.
        found: String,
    },
}

/// A name that is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{found}`: {}", match .nearest {
    Some(nearest) => format!("did you mean `{nearest}`?"),
    None => "expected `UTC` or a name of the IANA database, such as `Europe/Berlin`".to_owned(),
})]
pub struct ParseZoneError {
    /// The name, fit to be shown.
    pub found: String,
    /// The nearest name that is one.
    pub nearest: Option<&'static str>,
}

/// Text of unknown origin as it may be shown: of bearable length, and without signs that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// The name of `known` nearest to a misspelt one, if it is near enough to have been meant; the first of several.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: String = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let length = wanted.chars().count();
    let limit = 1 + length / 4;
    known
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= limit && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
