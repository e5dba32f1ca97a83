//! What the clocks of a zone show at an instant, and when they show it.
//!
//! Whole seconds suffice: no zone has changed by a part of one since 1970.
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What the clocks show.
pub(crate) fn at(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    zone.from_utc_datetime(&instant.naive_utc()).naive_local()
}

/// When the clocks show this: never in a gap, twice where they were set back, else once. The earlier comes first.
pub(crate) fn when(zone: Tz, local: NaiveDateTime) -> MappedLocalTime<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Ambiguous(one, other) if other < one => {
            MappedLocalTime::Ambiguous(other.to_utc(), one.to_utc())
        }
        mapped => mapped.map(|instant| instant.to_utc()),
    }
}

/// The first instant at which the clocks show this or later: for what lies in a gap, the instant at which it ends.
pub(crate) fn first_reached(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match when(zone, local) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => instant,
        MappedLocalTime::None => {
            // Clocks differ from UTC by less than a day; those of Samoa once left out a whole one.
            let day = TimeDelta::days(2);
            let utc = local.and_utc();
            first(utc - day, utc + day, |instant| at(zone, instant) >= local)
        }
    }
}

/// A stretch of local time that the clocks show twice.
pub(crate) struct Fold {
    /// What they show at its beginning.
    pub(crate) begins: NaiveDateTime,
    /// They show it for the second time.
    pub(crate) is_second: bool,
}

/// The stretch shown twice in which an instant lies.
pub(crate) fn fold_at(zone: Tz, instant: DateTime<Utc>) -> Option<Fold> {
    let MappedLocalTime::Ambiguous(early, late) = when(zone, at(zone, instant)) else {
        return None;
    };
    let ahead = |instant: DateTime<Utc>| at(zone, instant) - instant.naive_utc();
    let before = ahead(early);
    let change = first(early, late, |instant| ahead(instant) != before);
    Some(Fold {
        begins: at(zone, change),
        is_second: instant >= change,
    })
}

/// The first instant for which something holds that does not hold at `low` and holds at `high`, to the second.
fn first(low: DateTime<Utc>, high: DateTime<Utc>, holds: impl Fn(DateTime<Utc>) -> bool) -> DateTime<Utc> {
    let (mut low, mut high) = (whole(low), whole(high));
    while high - low > SECOND {
        let middle = whole(low + (high - low) / 2);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

fn whole(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant - TimeDelta::nanoseconds(i64::from(instant.timestamp_subsec_nanos()))
}
