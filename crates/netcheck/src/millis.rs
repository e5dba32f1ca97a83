//! Times as numbers of milliseconds with all their digits: a time in a local network is a fraction of one.
use serde::Serializer;
use std::time::Duration;

pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(of(*time))
}

pub(crate) mod option {
    use super::{Duration, Serializer, of};

    pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_f64(of(*time)),
            None => to.serialize_none(),
        }
    }
}

fn of(time: Duration) -> f64 {
    // By whole nanoseconds, so that 0.1 ms is not 0.09999999.
    time.as_nanos() as f64 / 1e6
}
