//! Schedules and time zones.
use crate::text::text;
use ::schedule::{Schedule, Zone};
use chrono::{DateTime, TimeDelta, Utc};

/// A schedule and a time zone, parted by a line break.
///
/// # Panics
/// When a schedule is not read again from its own text, its runs do not ascend, or the last run and the next do not fit.
pub fn schedule(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (text, zone) = text.split_once('\n').unwrap_or((text, "UTC"));
    let zone = zone.parse::<Zone>().unwrap_or_else(|error| {
        is_fit_to_show(&error.to_string());
        Zone::UTC
    });
    let schedule = match text.parse::<Schedule>() {
        Ok(schedule) => schedule,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    assert_eq!(schedule.to_string().parse().as_ref(), Ok(&schedule));
    // Two weeks in which the clocks of half the world change.
    let begin = DateTime::from_timestamp(1_792_500_000, 0).unwrap_or_default();
    for hours in [0, 24 * 7, 24 * 14] {
        fits(&schedule, zone, begin + TimeDelta::hours(hours));
    }
    let _ = schedule
        .warnings()
        .iter()
        .map(|warning| is_fit_to_show(&warning.to_string()));
}

fn fits(schedule: &Schedule, zone: Zone, instant: DateTime<Utc>) {
    let runs: Vec<_> = schedule.runs_after(instant, zone).take(20).collect();
    assert!(runs.iter().all(|run| *run > instant));
    assert!(runs.is_sorted_by(|one, next| one < next), "{schedule} in {zone}");
    for pair in runs.windows(2) {
        let before = pair[1] - TimeDelta::nanoseconds(1);
        assert_eq!(schedule.last_until(before, zone), Some(pair[0]), "{schedule} in {zone}");
    }
    if let Some(last) = schedule.last_until(instant, zone) {
        assert_eq!(
            schedule.next_after(last, zone).as_ref(),
            runs.first(),
            "{schedule} in {zone}"
        );
    }
}

/// Whatever stands in the text: a terminal must not obey it, and a line holds it.
fn is_fit_to_show(shown: &str) {
    assert!(!shown.is_empty() && shown.chars().count() < 600, "{shown:?}");
    assert!(!shown.contains(char::is_control), "{shown:?}");
}
