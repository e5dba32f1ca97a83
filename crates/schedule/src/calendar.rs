//! Cron's calendar: fields laid out for the `cron` crate, and local time mapped to instants.
//!
//! The `cron` crate sees naive local time alone, typed as UTC: in a zone with daylight saving it loses runs in gaps and
//! in the repeated hour (version 0.17). It joins the two fields for days by *and*, where POSIX has *or*: then there are two of its
//! schedules, and the earlier run counts.
use crate::{
    error::{CronError, ParseScheduleError},
    field::{Field, Values},
    local::{at, first_reached, fold_at, when},
};
use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Years outside of these have no runs: the `cron` crate knows no others.
const YEARS: (i32, i32) = (1970, 2100);

/// Runs by date and time of day.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    by_date: cron::Schedule,
    /// Where both fields for days are restricted, either suffices.
    by_weekday: Option<cron::Schedule>,
    /// At times of day and not at intervals within the hour or the day: such a run neither doubles nor vanishes when
    /// clocks change.
    is_fixed: bool,
}

impl Calendar {
    /// From the fields, the second first and the year last.
    pub(crate) fn new(fields: &[Values; 7]) -> Result<Self, ParseScheduleError> {
        let [_, minute, hour, day, _, weekday, _] = fields;
        let is_either = !day.is_star && !weekday.is_star;
        let prepare = |without: Option<Field>| {
            let text = Field::ALL.iter().zip(fields).map(|(field, values)| {
                let is_without = without == Some(*field);
                if is_without {
                    "*".to_owned()
                } else {
                    laid_out(*field, values)
                }
            });
            let text: Vec<String> = text.collect();
            let parsed = text.join(" ").parse::<cron::Schedule>();
            parsed.map_err(|error| ParseScheduleError::Cron(CronError(error.to_string())))
        };
        Ok(Self {
            by_date: prepare(is_either.then_some(Field::DayOfWeek))?,
            by_weekday: is_either.then(|| prepare(Some(Field::DayOfMonth))).transpose()?,
            is_fixed: !minute.is_interval && !hour.is_interval,
        })
    }

    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// Whether there is no run in any year.
    pub(crate) fn is_never_due(&self) -> bool {
        self.shown_after(NaiveDateTime::MIN).is_none()
    }

    pub(crate) fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // Neither does the arithmetic below leave what can be represented.
        if after.year() > YEARS.1 {
            return None;
        }
        let after = after.max(DateTime::UNIX_EPOCH - TimeDelta::days(2));
        if self.is_fixed {
            self.next_fixed(after, zone)
        } else {
            self.next_interval(after, zone)
        }
    }

    /// A fixed time is due at the first instant at which the clocks show it or later: at the end of a gap in which it
    /// lies, and in the first of two passes.
    fn next_fixed(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let mut shown = at(zone, after);
        loop {
            shown = self.shown_after(shown)?;
            // In a second pass the times to come are those of the first, which are over.
            let instant = first_reached(zone, shown);
            if instant > after {
                return Some(instant);
            }
        }
    }

    /// An interval is due whenever the clocks show one of its times: not in a gap, and in both passes.
    fn next_interval(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let onward = self.next_shown(at(zone, after), after, zone);
        let again = fold_at(zone, after).filter(|fold| !fold.is_second).and_then(|fold| {
            let local = self.shown_after(fold.begins - SECOND)?;
            when(zone, local).latest().filter(|instant| *instant > after)
        });
        onward.into_iter().chain(again).min()
    }

    fn next_shown(&self, mut shown: NaiveDateTime, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        loop {
            let local = self.shown_after(shown)?;
            shown = local;
            match when(zone, local) {
                MappedLocalTime::Single(instant) if instant > after => return Some(instant),
                MappedLocalTime::Ambiguous(early, _) if early > after => return Some(early),
                MappedLocalTime::Ambiguous(_, late) if late > after => return Some(late),
                MappedLocalTime::Single(_) | MappedLocalTime::Ambiguous(..) => {}
                MappedLocalTime::None => shown = at(zone, first_reached(zone, local)) - SECOND,
            }
        }
    }

    /// The next local time of a run after this one, by the calendar alone.
    fn shown_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let begin = NaiveDate::from_ymd_opt(YEARS.0, 1, 1)?.and_time(NaiveTime::MIN) - SECOND;
        if local.year() > YEARS.1 {
            return None;
        }
        let after = local.max(begin).and_utc();
        let next = |schedule: &cron::Schedule| schedule.after(&after).next().map(|run| run.naive_utc());
        let by_weekday = self.by_weekday.as_ref().and_then(next);
        next(&self.by_date).into_iter().chain(by_weekday).min()
    }
}

/// A field as the `cron` crate takes it: a list, in which Sunday is 1.
fn laid_out(field: Field, values: &Values) -> String {
    if values.is_star {
        return "*".to_owned();
    }
    let first = u16::from(field == Field::DayOfWeek);
    let numbers: Vec<String> = values.set.iter().map(|value| (value + first).to_string()).collect();
    numbers.join(",")
}
