//! The model: what cron means, told by looking at every single minute or second.
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One field: how it is written and what that means.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) values: BTreeSet<u32>,
}

impl Part {
    pub(crate) fn star() -> Self {
        Self {
            text: "*".to_owned(),
            values: (0..=2100).collect(),
        }
    }

    pub(crate) fn one(value: u32) -> Self {
        Self {
            text: value.to_string(),
            values: [value].into(),
        }
    }

    pub(crate) fn list(values: &[u32]) -> Self {
        let texts: Vec<String> = values.iter().map(u32::to_string).collect();
        Self {
            text: texts.join(","),
            values: values.iter().copied().collect(),
        }
    }

    pub(crate) fn step(step: u32, least: u32, most: u32) -> Self {
        Self {
            text: format!("*/{step}"),
            values: (least..=most)
                .filter(|value| (value - least).is_multiple_of(step))
                .collect(),
        }
    }

    fn is_star(&self) -> bool {
        self.text == "*"
    }

    fn is_interval(&self) -> bool {
        self.text.contains(['*', '/'])
    }
}

/// Six fields, the second first.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) parts: [Part; 6],
    /// Of the second, the minute and the hour, what fits: a look at every minute of years must not take minutes.
    times: [Vec<bool>; 3],
}

impl Spec {
    pub(crate) fn new(parts: [Part; 6]) -> Self {
        let fits = |part: &Part| (0..60).map(|value| part.values.contains(&value)).collect();
        let times = [&parts[0], &parts[1], &parts[2]].map(fits);
        Self { parts, times }
    }

    /// At this second of these hours and minutes of every day.
    pub(crate) fn daily(minute: Part, hour: Part) -> Self {
        Self::new([Part::one(0), minute, hour, Part::star(), Part::star(), Part::star()])
    }

    pub(crate) fn text(&self) -> String {
        self.parts.each_ref().map(|part| part.text.as_str()).join(" ")
    }

    /// As five fields, which leave out the second.
    pub(crate) fn five(&self) -> String {
        assert_eq!(self.parts[0].text, "0");
        self.text().split_once(' ').unwrap().1.to_owned()
    }

    pub(crate) fn fits_day(&self, day: NaiveDate) -> bool {
        let [_, _, _, of_month, month, of_week] = &self.parts;
        let fits_month = month.values.contains(&day.month());
        let fits_day = of_month.values.contains(&day.day());
        let fits_weekday = of_week.values.contains(&day.weekday().num_days_from_sunday());
        let both_restricted = !of_month.is_star() && !of_week.is_star();
        fits_month
            && if both_restricted {
                fits_day || fits_weekday
            } else {
                fits_day && fits_weekday
            }
    }

    pub(crate) fn fits(&self, local: NaiveDateTime) -> bool {
        let [second, minute, hour] = &self.times;
        minute[local.minute() as usize]
            && hour[local.hour() as usize]
            && second[local.second() as usize]
            && self.fits_day(local.date())
    }

    pub(crate) fn is_fixed(&self) -> bool {
        !self.parts[1].is_interval() && !self.parts[2].is_interval()
    }

    /// Every run in a window, by watching the clocks: an interval runs whenever they show one of its times, a fixed
    /// time when they have for the first time shown it or gone past it.
    pub(crate) fn runs(&self, window: &Window) -> Vec<DateTime<Utc>> {
        let mut furthest = window.ticks[0].1 - window.tick;
        let mut runs = Vec::new();
        let is_fixed = self.is_fixed();
        for (instant, local) in &window.ticks {
            let is_due = if is_fixed {
                let mut passed = false;
                while furthest < *local {
                    furthest += window.tick;
                    passed |= self.fits(furthest);
                }
                passed
            } else {
                self.fits(*local)
            };
            if is_due {
                runs.push(*instant);
            }
        }
        runs
    }
}

/// What the clocks of a zone show at each tick of a stretch of time.
pub(crate) struct Window {
    pub(crate) zone: Tz,
    tick: TimeDelta,
    ticks: Vec<(DateTime<Utc>, NaiveDateTime)>,
}

impl Window {
    pub(crate) fn new(zone: Tz, begin: DateTime<Utc>, end: DateTime<Utc>, tick: TimeDelta) -> Self {
        let mut ticks = Vec::new();
        let mut instant = begin;
        while instant <= end {
            ticks.push((instant, zone.from_utc_datetime(&instant.naive_utc()).naive_local()));
            instant += tick;
        }
        Self { zone, tick, ticks }
    }

    pub(crate) fn begin(&self) -> DateTime<Utc> {
        self.ticks[0].0
    }

    pub(crate) fn end(&self) -> DateTime<Utc> {
        self.ticks[self.ticks.len() - 1].0
    }
}

/// The zones whose changes differ most: by an hour, by half of one, at midnight, west, not at all.
pub(crate) const ZONES: [Tz; 6] = [
    Tz::Europe__Berlin,
    Tz::Australia__Lord_Howe,
    Tz::America__Havana,
    Tz::America__New_York,
    Tz::Asia__Kolkata,
    Tz::UTC,
];

/// When the clocks of a zone change in 2020 to 2035, to the quarter of an hour.
pub(crate) fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let ahead =
        |instant: DateTime<Utc>| zone.from_utc_datetime(&instant.naive_utc()).naive_local() - instant.naive_utc();
    let day = TimeDelta::days(1);
    let quarter = TimeDelta::minutes(15);
    let begin = Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap();
    let days = (0..16 * 366).map(|number| begin + day * number);
    let changed = days.filter(|instant| ahead(*instant) != ahead(*instant + day));
    let at = |instant: DateTime<Utc>| {
        let quarters = (1..=96).map(|number| instant + quarter * number);
        quarters.clone().find(|later| ahead(*later) != ahead(instant)).unwrap()
    };
    changed.map(at).collect()
}

/// Any field of numbers from `least` to `most`, in all the ways to write it.
pub(crate) fn part(least: u32, most: u32, names: &'static [&'static str]) -> impl Strategy<Value = Part> {
    let name = move |value: u32, style: u32| match (names.get((value - least) as usize), style % 4) {
        (Some(name), 1) => name[..3].to_owned(),
        (Some(name), 2) => name.to_lowercase(),
        // Sunday has two numbers; the second one is only another way to write it.
        (Some(_), 3) if least == 0 && value == 0 => "7".to_owned(),
        _ => value.to_string(),
    };
    let span = most - least + 1;
    let item =
        (least..=most, least..=most, 1..=span, 0u32..8, 0u32..16).prop_map(move |(from, to, step, form, style)| {
            let walk = |from: u32, to: u32| {
                let mut values = vec![from];
                while *values.last().unwrap() != to {
                    let last = *values.last().unwrap();
                    values.push(if last == most { least } else { last + 1 });
                }
                values
            };
            let each = |values: Vec<u32>, step: u32| values.into_iter().step_by(step as usize).collect();
            let (text, values): (String, Vec<u32>) = match form {
                0..4 => (name(from, style), vec![from]),
                4 => {
                    let text = format!("{}-{}", value_of(least, from), name(to, style));
                    // From Sunday to Sunday, written 0-7, is the whole week.
                    let is_week = names.len() == 7 && text == "0-7";
                    (text, if is_week { (0..7).collect() } else { walk(from, to) })
                }
                5 => (
                    format!("{}-{to}/{step}", value_of(least, from)),
                    each(walk(from, to), step),
                ),
                6 => (format!("*/{step}"), each((least..=most).collect(), step)),
                _ => (format!("{from}/{step}"), each((from..=most).collect(), step)),
            };
            (text, values)
        });
    let items = prop::collection::vec(item, 1..4).prop_map(|items| Part {
        text: items
            .iter()
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>()
            .join(","),
        values: items.iter().flat_map(|(_, values)| values).copied().collect(),
    });
    prop_oneof![1 => Just(Part::star()), 2 => items]
}

fn value_of(least: u32, value: u32) -> String {
    assert!(value >= least);
    value.to_string()
}

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(crate) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Any schedule of six fields, or of five where the second is 0.
pub(crate) fn spec(second: impl Strategy<Value = Part> + 'static) -> impl Strategy<Value = Spec> {
    let fields = (
        second,
        part(0, 59, &[]),
        part(0, 23, &[]),
        part(1, 31, &[]),
        part(1, 12, &MONTHS),
        part(0, 6, &DAYS),
    );
    fields
        .prop_map(|(second, minute, hour, day, month, weekday)| Spec::new([second, minute, hour, day, month, weekday]))
}
