//! clamd, as its keeper knows it.
use super::{ReefMetrics, age};
use crate::keeper::{CanaryOutcome, ClamdState, Looked, Presence};
use telemetry_otel::Reading;
use tokio::sync::watch;

type Read = fn(&ClamdState) -> Option<f64>;

/// What there is one figure of.
const GAUGES: [(&str, &str, Read); 8] = [
    (
        "clamav_up",
        "1 if clamd answers, 0 if it does not.",
        |state| match state.presence {
            Presence::Unknown => None,
            Presence::Up { .. } => Some(1.0),
            Presence::Down { .. } => Some(0.0),
        },
    ),
    (
        "clamav_canary_ok",
        "1 if clamd found the test file the last time it gave a verdict on it, 0 if it called it clean.",
        |state| {
            let canary = state.canary.as_ref()?;
            match canary.outcome {
                CanaryOutcome::Found => Some(1.0),
                CanaryOutcome::Missed { .. } => Some(0.0),
                // That is for `clamav_up` and for how long ago it was found.
                CanaryOutcome::NoVerdict { .. } => None,
            }
        },
    ),
    (
        "clamav_canary_last_found_timestamp_seconds",
        "When clamd last found the test file, since 1970.",
        |state| Some(state.canary.as_ref()?.last_found?.timestamp() as f64),
    ),
    (
        "clamav_max_file_size_ok",
        "1 if clamd looks at files as long as clamd.max_file_size says, 0 if it calls such files clean unread.",
        |state| match state.looked? {
            Looked::Unproved { .. } => None,
            Looked::Less { .. } => Some(0.0),
            Looked::Whole | Looked::Announced => Some(1.0),
        },
    ),
    (
        "clamav_database_version",
        "The number of the daily database by which clamd judges.",
        |state| Some(f64::from(state.version.as_ref()?.database?.number)),
    ),
    (
        "clamav_database_age_seconds",
        "How old the signatures are by which clamd judges.",
        |state| state.database_made.map(age),
    ),
    (
        "clamav_queue_items",
        "Jobs that waited for a thread of clamd when it was last asked.",
        |state| Some(state.activity.as_ref()?.queue as f64),
    ),
    (
        "clamav_signature_memory_bytes",
        "What clamd's signatures take of its memory.",
        |state| Some(state.activity.as_ref()?.memory? as f64),
    ),
];

impl ReefMetrics {
    /// Shows what is known of clamd from now on; nothing is asked for it.
    pub(crate) fn observe_clamd(&self, state: &watch::Receiver<ClamdState>) {
        for (name, help, read) in GAUGES {
            let state = state.clone();
            self.metrics
                .observe_gauge(name, help, move || read(&state.borrow()).map(Reading::new));
        }
        let of_threads = state.clone();
        self.metrics.observe_gauge(
            "clamav_threads",
            "clamd's threads when it was last asked: those there are, those with nothing to do, and its MaxThreads.",
            move || {
                let state = of_threads.borrow();
                let threads = state.activity.as_ref().map(|activity| {
                    [
                        ("live", activity.threads_live),
                        ("idle", activity.threads_idle),
                        ("max", activity.threads_max),
                    ]
                });
                let readings = threads
                    .into_iter()
                    .flatten()
                    .map(|(state, count)| Reading::new(f64::from(count)).label("state", state));
                readings.collect::<Vec<_>>()
            },
        );
    }
}
