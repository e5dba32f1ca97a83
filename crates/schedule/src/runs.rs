//! The runs of a schedule: those to come, the last, and how many there were.
use crate::{Schedule, Zone, parse::Kind};
use chrono::{DateTime, Utc};

impl Schedule {
    /// The first run after an instant, or `None` where none is left.
    ///
    /// It takes microseconds whatever the schedule, one that never comes included.
    pub fn next_after(&self, instant: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        match &self.kind {
            Kind::Calendar(calendar) => calendar.next_after(instant, zone.tz()),
            Kind::Every(every) => every.next_after(instant),
        }
    }

    /// The runs after an instant, ascending and without doubles.
    pub fn runs_after(&self, instant: DateTime<Utc>, zone: Zone) -> Runs<'_> {
        Runs {
            schedule: self,
            zone,
            from: Some(instant),
        }
    }

    /// The last run at or before an instant, or `None` where there was none since 1970.
    ///
    /// For a calendar it asks some forty times for the next run.
    pub fn last_until(&self, instant: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        let Kind::Calendar(calendar) = &self.kind else {
            let Kind::Every(every) = &self.kind else { return None };
            return every.last_until(instant);
        };
        let next = |after: i64| {
            let after = DateTime::from_timestamp(after, 0)?;
            calendar.next_after(after, zone.tz()).filter(|run| *run <= instant)
        };
        // The later the beginning, the later the next run: so bisect for the last second from which one is found.
        const BEGIN: i64 = -2 * 86_400;
        let mut high = instant.timestamp();
        let mut reach = 1;
        let mut last = loop {
            if high - reach <= BEGIN {
                break next(BEGIN)?;
            }
            if let Some(run) = next(high - reach) {
                break run;
            }
            high -= reach;
            reach *= 4;
        };
        while high - last.timestamp() > 1 {
            let middle = last.timestamp() + (high - last.timestamp()) / 2;
            match next(middle) {
                Some(run) => last = run,
                None => high = middle,
            }
        }
        Some(next(last.timestamp()).unwrap_or(last))
    }

    /// How many runs there are after one instant and up to another, that one included; counting ends at `most`.
    pub fn count_between(&self, after: DateTime<Utc>, until: DateTime<Utc>, zone: Zone, most: usize) -> usize {
        self.runs_after(after, zone)
            .take_while(|run| *run <= until)
            .take(most)
            .count()
    }
}

/// The coming runs of a schedule: see [`Schedule::runs_after`].
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    schedule: &'a Schedule,
    zone: Zone,
    /// The last run given; none when there are no more.
    from: Option<DateTime<Utc>>,
}

impl Iterator for Runs<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<Self::Item> {
        self.from = self.schedule.next_after(self.from?, self.zone);
        self.from
    }
}

impl std::iter::FusedIterator for Runs<'_> {}
