//! A second opinion: croner, on what both crates can write.
//!
//! croner takes only a single minute of a single hour for a fixed time, and refuses `5/10` and ranges that go round; it
//! knows years beyond 2100. All else must be the same.
use crate::model::{Part, ZONES, changes};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{Cron, Direction};
use proptest::prelude::*;
use schedule::{Schedule, Zone};
use std::sync::LazyLock;

/// A field as both write it.
fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let value = least..=most;
    let item = prop_oneof![
        3 => value.clone().prop_map(|value| value.to_string()),
        1 => (value.clone(), value.clone()).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
        1 => (value.clone(), value, 1..=most / 2).prop_map(|(one, other, step)| {
            format!("{}-{}/{step}", one.min(other), one.max(other))
        }),
        1 => (1..=most / 2).prop_map(|step| format!("*/{step}")),
    ];
    prop_oneof![1 => Just("*".to_owned()), 3 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(","))]
}

/// A minute or an hour of which both think alike whether it is fixed.
fn plain(most: u32) -> impl Strategy<Value = String> {
    let step = (1..=most / 2).prop_map(move |step| Part::step(step, 0, most).text);
    prop_oneof![3 => (0..=most).prop_map(|value| value.to_string()), 1 => Just("*".to_owned()), 1 => step]
}

/// The hours in which clocks change, most of the time.
fn hour() -> impl Strategy<Value = String> {
    prop_oneof![2 => (0u32..4).prop_map(|hour| hour.to_string()), 1 => plain(23)]
}

fn days() -> impl Strategy<Value = String> {
    (field(1, 31), field(1, 12), field(0, 7)).prop_map(|(day, month, weekday)| format!("{day} {month} {weekday}"))
}

fn theirs(text: &str, zone: Tz, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    let cron: Cron = text.parse().unwrap();
    let runs = cron.iter_from(after.with_timezone(&zone), Direction::Forward);
    runs.map(|run| run.to_utc()).filter(move |run| *run > after)
}

fn ours(text: &str, zone: Tz, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let schedule: Schedule = text.parse().unwrap();
    let zone: Zone = zone.name().parse().unwrap();
    schedule.runs_after(after, zone).take(50).collect()
}

/// Both tell the same runs up to an instant, and fifty at most.
#[track_caller]
fn check(text: &str, zone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) {
    let mut found = ours(text, zone, after);
    found.retain(|run| *run <= until);
    let wanted: Vec<_> = theirs(text, zone, after)
        .take(50)
        .take_while(|run| *run <= until)
        .collect();
    assert_eq!(found, wanted, "{text} in {zone} after {after}");
}

#[test]
fn at_every_change_of_sixteen_years_croner_says_the_same() {
    for zone in ZONES {
        for change in changes(zone) {
            let days = TimeDelta::days(3);
            for text in [
                "30 2 * * *",
                "0 0 * * *",
                "45 1 * * *",
                "0 * * * *",
                "*/30 * * * *",
                "5 */2 * * *",
            ] {
                check(text, zone, change - days, change + days);
            }
            // Run by run across the change itself, for the intervals that are too many for three days.
            let hours = TimeDelta::hours(2);
            check("*/10 * * * *", zone, change - hours, change + hours);
            check("*/20 0-3 * * *", zone, change - hours, change + hours);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_schedule_has_the_runs_that_croner_says(
        minute in field(0, 59), hour in field(0, 23), days in days(), seconds in 0i64..3_700_000_000,
    ) {
        let after = DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let text = format!("{minute} {hour} {days}");
        let found = ours(&text, Tz::UTC, after);
        // croner looks for ever where nothing comes; we say so at once.
        if let Some(last) = found.get(..5.min(found.len())).and_then(<[_]>::last) {
            check(&text, Tz::UTC, after, *last);
        }
    }

    #[test]
    fn any_schedule_has_the_runs_that_croner_says_where_clocks_change(
        minute in plain(59), hour in hour(), zone in prop::sample::select(ZONES[..4].to_vec()),
        place in any::<prop::sample::Index>(), back in 0i64..72,
    ) {
        static CHANGES: LazyLock<Vec<Vec<DateTime<Utc>>>> = LazyLock::new(|| ZONES.map(changes).to_vec());
        let of_zone = ZONES.iter().position(|other| *other == zone).unwrap();
        let change = *place.get(&CHANGES[of_zone]);
        check(&format!("{minute} {hour} * * *"), zone, change - TimeDelta::hours(back), change + TimeDelta::days(1));
    }
}
