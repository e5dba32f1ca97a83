//! Numbers and failures as people read them.
use netcheck::{Doubt, Failure};
use serde::Serialize;
use std::time::Duration;

/// What came of a target, as it is told: a report, or why it could not even be begun with.
#[derive(Debug, Serialize)]
pub(super) struct Told<'t, R> {
    pub(super) target: &'t str,
    #[serde(flatten)]
    pub(super) report: Option<&'t R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<&'t Failure>,
}

impl<'t, R> Told<'t, R> {
    pub(super) fn new(target: &'t str, came: &'t Result<R, Failure>) -> Self {
        Self {
            target,
            report: came.as_ref().ok(),
            failure: came.as_ref().err(),
        }
    }
}

/// Milliseconds with three digits after the point: a local network needs them.
pub(super) fn millis(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.3}", time.as_secs_f64() * 1000.0))
}

/// A share in percent.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |share| {
            let text = format!("{:.1}", share * 100.0);
            format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
        },
    )
}

/// In a word or two, how it went.
pub(super) fn result(well: &str, failure: Option<&Failure>) -> String {
    failure.map_or_else(|| well.to_owned(), |failure| failure.kind.name().replace('_', " "))
}

/// What happened and what to do about it, on a line of its own.
pub(super) fn failed(target: &str, failure: &Failure) -> String {
    format!("{target}: {}: {}; {}\n", failure.kind, failure, failure.remedy())
}

/// What there is to doubt, on a line of its own; nothing where that is nothing.
pub(super) fn doubted(target: &str, doubts: impl Iterator<Item = Doubt>) -> String {
    let doubts: Vec<&str> = doubts.map(Doubt::words).collect();
    if doubts.is_empty() {
        return String::new();
    }
    format!("{target}: do not trust it all: {}\n", doubts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_times_and_shares_keep_their_digits() {
        assert_eq!(millis(Some(Duration::from_micros(43))), "0.043");
        assert_eq!((millis(None), percent(None)), ("-".to_owned(), "-".to_owned()));
        assert_eq!(
            [0.0, 0.001, 1.0 / 3.0].map(|share| percent(Some(share))),
            ["0%", "0.1%", "33.3%"]
        );
    }
}
