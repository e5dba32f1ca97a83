//! Where clocks change: each change of 2020 to 2035 in zones of every kind, minute by minute.
use crate::model::{Part, Spec, Window, ZONES, changes, spec};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use schedule::{Schedule, Zone};
use std::sync::LazyLock;

fn around(zone: Tz, change: DateTime<Utc>) -> Window {
    let days = TimeDelta::days(3);
    Window::new(zone, change - days, change + days, TimeDelta::minutes(1))
}

static WINDOWS: LazyLock<Vec<Window>> =
    LazyLock::new(|| CHANGES.iter().map(|(zone, change)| around(*zone, *change)).collect());

static CHANGES: LazyLock<Vec<(Tz, DateTime<Utc>)>> = LazyLock::new(|| {
    let of = |zone: Tz| changes(zone).into_iter().map(move |change| (zone, change));
    ZONES.into_iter().flat_map(of).collect()
});

/// Everything that a schedule tells about a window agrees with the model.
#[track_caller]
fn check(spec: &Spec, text: &str, window: &Window) {
    let schedule: Schedule = text.parse().unwrap();
    let zone: Zone = window.zone.name().parse().unwrap();
    let before = window.begin() - TimeDelta::nanoseconds(1);
    let wanted = spec.runs(window);
    let found = schedule.runs_after(before, zone).take_while(|run| *run <= window.end());
    assert_eq!(found.collect::<Vec<_>>(), wanted, "{text} in {zone} from {before}");
    let count = schedule.count_between(before, window.end(), zone, 50);
    assert_eq!(count, wanted.len().min(50));
    // From anywhere between, not only from run to run.
    let instants = (1..6).map(|part| window.begin() + (window.end() - window.begin()) * part / 6);
    for instant in instants.chain(wanted.iter().take(2).copied()) {
        let next = wanted.iter().find(|run| **run > instant);
        if next.is_some() {
            assert_eq!(
                schedule.next_after(instant, zone).as_ref(),
                next,
                "{text} in {zone} after {instant}"
            );
        }
        let last = wanted.iter().rev().find(|run| **run <= instant);
        if last.is_some() {
            assert_eq!(
                schedule.last_until(instant, zone).as_ref(),
                last,
                "{text} in {zone} until {instant}"
            );
        }
    }
}

#[test]
fn there_are_changes_to_look_at() {
    let count = |zone: Tz| CHANGES.iter().filter(|(of, _)| *of == zone).count();
    assert_eq!(ZONES.map(count), [32, 32, 32, 32, 0, 0]);
}

#[test]
fn at_every_change_of_sixteen_years_times_of_day_and_intervals_keep_to_the_model() {
    let quarters = || Part::step(15, 0, 59);
    let specs = [
        Spec::daily(Part::one(30), Part::one(2)),
        Spec::daily(Part::one(0), Part::one(0)),
        Spec::daily(Part::list(&[0, 15, 45]), Part::list(&[0, 1, 2, 3])),
        Spec::daily(Part::one(0), Part::star()),
        Spec::daily(quarters(), Part::star()),
        Spec::daily(quarters(), Part::list(&[0, 1, 2])),
        Spec::daily(Part::one(20), Part::step(2, 0, 23)),
    ];
    for window in WINDOWS.iter() {
        for spec in &specs {
            check(spec, &spec.five(), window);
        }
    }
}

#[test]
fn second_by_second_too() {
    let every_second = Part::star;
    let specs = [
        Spec::new([
            every_second(),
            Part::one(30),
            Part::one(2),
            Part::star(),
            Part::star(),
            Part::star(),
        ]),
        Spec::new([
            Part::step(20, 0, 59),
            Part::star(),
            Part::star(),
            Part::star(),
            Part::star(),
            Part::star(),
        ]),
        Spec::new([
            Part::one(59),
            Part::one(59),
            Part::list(&[0, 1, 2]),
            Part::star(),
            Part::star(),
            Part::star(),
        ]),
    ];
    for (zone, change) in CHANGES
        .iter()
        .filter(|(_, change)| change.timestamp() / 31_557_600 == 57)
    {
        let hours = TimeDelta::hours(4);
        let window = Window::new(*zone, *change - hours, *change + hours, TimeDelta::seconds(1));
        for spec in &specs {
            check(spec, &spec.text(), &window);
        }
    }
}

#[test]
fn a_day_that_is_left_out_and_a_year_without_rules() {
    // Samoa went over the date line and had no 30 December 2011; Kwajalein had no 21 August 1993.
    for (zone, around_it) in [
        (Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
        (Tz::Pacific__Kwajalein, "1993-08-21T12:00:00Z"),
    ] {
        let window = around(zone, around_it.parse().unwrap());
        for spec in [
            Spec::daily(Part::one(30), Part::one(12)),
            Spec::daily(Part::one(0), Part::one(0)),
            Spec::daily(Part::step(10, 0, 59), Part::star()),
        ] {
            check(&spec, &spec.five(), &window);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_schedule_keeps_to_the_model_at_any_change(spec in spec(Just(Part::one(0))), place in any::<prop::sample::Index>()) {
        check(&spec, &spec.five(), place.get(&WINDOWS));
    }

    #[test]
    fn any_schedule_keeps_to_the_model_in_any_week(spec in spec(Just(Part::one(0))), day in 0i64..40_000, zone in prop::sample::select(ZONES.to_vec())) {
        let middle = DateTime::UNIX_EPOCH + TimeDelta::days(4 + day);
        check(&spec, &spec.five(), &around(zone, middle));
    }
}
