//! What a client has seen, for `/health` and for metrics.
use crate::SendError;
use chrono::{DateTime, Utc};
use core_model::{BreakerState, chain};
use reqwest::{Method, StatusCode};
use std::time::Duration;

/// A client's figures since it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientStats {
    /// Whether requests pass.
    pub breaker: BreakerState,
    /// Requests with a proper answer.
    pub requests_ok: u64,
    /// Requests that failed for good, after their retries.
    pub requests_failed: u64,
    /// Attempts beyond the first of a request.
    pub retries: u64,
    /// When the last proper answer came.
    pub last_success: Option<DateTime<Utc>>,
    /// The last failure, with all its causes.
    pub last_error: Option<String>,
}

/// One request that ended, as a metric wants it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The method.
    pub method: Method,
    /// The path as the caller gave it, without its query.
    pub path: String,
    /// Whether it had a proper answer.
    pub ok: bool,
    /// The status of the last answer, where there was one.
    pub status: Option<StatusCode>,
    /// From the first attempt to the end, waits included.
    pub duration: Duration,
    /// Attempts beyond the first.
    pub retries: u32,
}

#[derive(Default)]
pub(crate) struct Tally {
    ok: u64,
    failed: u64,
    retries: u64,
    last_success: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

impl Tally {
    pub(crate) fn count(&mut self, error: Option<&SendError>, retries: u32, now: DateTime<Utc>) {
        self.retries += u64::from(retries);
        match error {
            None => {
                self.ok += 1;
                self.last_success = Some(now);
            }
            Some(error) => {
                self.failed += 1;
                self.last_error = Some(chain(error));
            }
        }
    }

    pub(crate) fn stats(&self, breaker: BreakerState) -> ClientStats {
        ClientStats {
            breaker,
            requests_ok: self.ok,
            requests_failed: self.failed,
            retries: self.retries,
            last_success: self.last_success,
            last_error: self.last_error.clone(),
        }
    }
}
