//! The calendar alone, in UTC and over years: leap days, the ends of months, schedules that never come.
use crate::model::{Part, Spec, part, spec};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use proptest::prelude::*;
use schedule::{Schedule, Warning, Zone};

#[track_caller]
fn check(text: &str, after: &str, wanted: &[&str]) {
    let schedule: Schedule = text.parse().unwrap();
    let after = format!("{after}Z").parse().unwrap();
    let runs = schedule.runs_after(after, Zone::UTC).take(wanted.len());
    let runs: Vec<String> = runs.map(|run| run.format("%Y-%m-%dT%H:%M:%S").to_string()).collect();
    assert_eq!(runs, wanted, "{text}");
}

#[test]
fn leap_days_and_the_ends_of_months() {
    let leap = ["2096-02-29T00:00:00"];
    check("0 0 29 2 *", "2092-03-01T00:00:00", &leap);
    // The year 2100 is no leap year.
    let schedule: Schedule = "0 0 29 2 *".parse().unwrap();
    assert_eq!(
        schedule.next_after("2096-02-29T00:00:00Z".parse().unwrap(), Zone::UTC),
        None
    );
    let long = [
        "2027-01-31T12:00:00",
        "2027-03-31T12:00:00",
        "2027-05-31T12:00:00",
        "2027-07-31T12:00:00",
    ];
    check("0 12 31 * *", "2027-01-01T00:00:00", &long);
    check(
        "59 23 28-31 2 *",
        "2028-02-28T23:59:00",
        &["2028-02-29T23:59:00", "2029-02-28T23:59:00"],
    );
    check(
        "0 0 29-1 2 *",
        "2027-02-02T00:00:00",
        &["2028-02-01T00:00:00", "2028-02-29T00:00:00"],
    );
}

#[test]
fn both_days_restricted_either_suffices() {
    let either = ["2027-01-08T00:00:00", "2027-01-13T00:00:00", "2027-01-15T00:00:00"];
    check("0 0 13 * FRI", "2027-01-07T00:00:00", &either);
    check(
        "0 0 */2 * FRI",
        "2027-01-07T00:00:00",
        &["2027-01-08T00:00:00", "2027-01-09T00:00:00", "2027-01-11T00:00:00"],
    );
    check(
        "0 0 ? * FRI",
        "2027-01-07T00:00:00",
        &["2027-01-08T00:00:00", "2027-01-15T00:00:00"],
    );
}

#[test]
fn six_and_seven_fields_and_nicknames() {
    check(
        "*/30 0 12 * * *",
        "2027-01-01T00:00:00",
        &["2027-01-01T12:00:00", "2027-01-01T12:00:30"],
    );
    check(
        "15 0 0 1 1 ? 2030-2032/2",
        "2027-01-01T00:00:00",
        &["2030-01-01T00:00:15", "2032-01-01T00:00:15"],
    );
    check("@hourly", "2027-01-01T00:00:00", &["2027-01-01T01:00:00"]);
    for midnight in ["@daily", "@midnight", "@Daily"] {
        check(midnight, "2027-01-01T00:00:00", &["2027-01-02T00:00:00"]);
    }
    check(
        "@weekly",
        "2027-01-01T00:00:00",
        &["2027-01-03T00:00:00", "2027-01-10T00:00:00"],
    );
    check("@monthly", "2027-01-01T00:00:00", &["2027-02-01T00:00:00"]);
    for new_year in ["@yearly", "@annually"] {
        check(new_year, "2027-01-01T00:00:00", &["2028-01-01T00:00:00"]);
    }
    check(
        "every 6h",
        "2027-01-01T00:00:01",
        &["2027-01-01T06:00:00", "2027-01-01T12:00:00"],
    );
}

#[test]
fn what_never_comes_ends_at_once_and_is_warned_of() {
    let (never, now) = ("2027-01-01T00:00:00Z".parse().unwrap(), Zone::UTC);
    for text in [
        "0 0 31 2 *",
        "0 0 30,31 FEB *",
        "0 0 0 31 4,6,9,11 * 2027",
        "0 0 0 29 2 ? 2027",
    ] {
        let schedule: Schedule = text.parse().unwrap();
        assert_eq!(schedule.warnings(), [Warning::NeverDue], "{text}");
        assert_eq!(
            (schedule.next_after(never, now), schedule.last_until(never, now)),
            (None, None),
            "{text}"
        );
        assert_eq!(schedule.runs_after(never, now).count(), 0);
    }
    // Its years are over: it came once.
    let over: Schedule = "0 0 0 1 1 * 2020,2021".parse().unwrap();
    assert_eq!((over.warnings(), over.next_after(never, now)), (&[][..], None));
    assert_eq!(
        over.last_until(never, now),
        Some("2021-01-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(over.runs_after(DateTime::UNIX_EPOCH, now).count(), 2);
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for text in ["* * * * * *", "0 3 * * *", "*/5 * * * *", "every 1w", "@yearly"] {
        let schedule: Schedule = text.parse().unwrap();
        for zone in ["UTC", "Pacific/Apia", "America/Havana"] {
            let zone: Zone = zone.parse().unwrap();
            for instant in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
                let next = schedule.next_after(instant, zone);
                assert!(next.is_none_or(|next| next > instant), "{text}");
                let last = schedule.last_until(instant, zone);
                assert!(last.is_none_or(|last| last <= instant), "{text}");
            }
            let last = schedule
                .last_until("2200-01-01T00:00:00Z".parse().unwrap(), zone)
                .unwrap();
            assert!(
                last > "2099-12-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(),
                "{text}: {last}"
            );
        }
    }
}

/// The next runs by looking at every day, and on those that fit at every second of the day that can be.
fn runs(spec: &Spec, after: NaiveDateTime, days: i64) -> impl Iterator<Item = NaiveDateTime> {
    let first: NaiveDate = after.date();
    let day = move |number: i64| first + TimeDelta::days(number);
    (0..days)
        .map(day)
        .filter(|day| spec.fits_day(*day))
        .flat_map(move |day| {
            let [seconds, minutes, hours, ..] = &spec.parts;
            let all = |part: &Part, most: u32| {
                part.values
                    .iter()
                    .copied()
                    .filter(|value| *value < most)
                    .collect::<Vec<_>>()
            };
            let (hours, minutes, seconds) = (all(hours, 24), all(minutes, 60), all(seconds, 60));
            let mut times = Vec::new();
            for hour in hours {
                for minute in &minutes {
                    times.extend(
                        seconds
                            .iter()
                            .filter_map(|second| day.and_hms_opt(hour, *minute, *second)),
                    );
                }
            }
            times.into_iter().filter(move |time| *time > after)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_schedule_keeps_to_the_model_over_years(spec in spec(part(0, 59, &[])), seconds in 0i64..3_600_000_000) {
        const DAYS: i64 = 9 * 366;
        let after = DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let schedule: Schedule = spec.text().parse().unwrap();
        let horizon = (after.date_naive() + TimeDelta::days(DAYS)).and_time(Default::default());
        let wanted = runs(&spec, after.naive_utc(), DAYS).take(7);
        let wanted: Vec<_> = wanted.filter(|run| *run < horizon).collect();
        let found = schedule.runs_after(after, Zone::UTC).map(|run| run.naive_utc());
        let found: Vec<_> = found.take(7).take_while(|run| *run < horizon).collect();
        prop_assert_eq!(&found, &wanted, "{}", spec.text());
        // Nine years hold a leap day, but for those around 2100, which lie behind these.
        prop_assert_eq!(schedule.warnings().contains(&Warning::NeverDue), wanted.is_empty());
    }

    #[test]
    fn the_last_run_is_the_one_before_the_next(spec in spec(part(0, 59, &[])), seconds in 0i64..4_000_000_000, nanos in 0u32..2) {
        let schedule: Schedule = spec.text().parse().unwrap();
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let instant = DateTime::from_timestamp(seconds, nanos).unwrap();
        if let Some(last) = schedule.last_until(instant, zone) {
            prop_assert!(last <= instant);
            prop_assert_eq!(schedule.next_after(last, zone), schedule.next_after(instant, zone));
            prop_assert_eq!(schedule.next_after(last - TimeDelta::nanoseconds(1), zone), Some(last));
            prop_assert_eq!(schedule.last_until(last, zone), Some(last));
        } else {
            let first = schedule.next_after(DateTime::<Utc>::MIN_UTC, zone);
            prop_assert!(first.is_none_or(|first| first > instant));
        }
    }
}
