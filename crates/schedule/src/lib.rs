//! When a job is due: cron as people write it, intervals, time zones, jitter, missed runs and what to do about them.
//!
//! A [`Schedule`] is read from text and answers which runs come after an instant in a [`Zone`]. A [`Planner`] decides,
//! from the last run and the instant handed to it, whether to start, wait, queue, cancel or skip; [`Slots`] shares a
//! limited number of parallel runs between jobs by priority.
//!
//! It is arithmetic over instants handed in: it reads no clock, sets no timer, draws no random number and starts
//! nothing. It keeps no record either: whoever runs jobs stores the instant of [`Planner::handled_until`].
//!
//! ```
//! use chrono::{DateTime, Utc};
//! use schedule::{Schedule, Zone};
//!
//! let nightly: Schedule = "30 2 * * *".parse().unwrap();
//! let berlin: Zone = "Europe/Berlin".parse().unwrap();
//! let now: DateTime<Utc> = "2027-03-27T12:00:00Z".parse().unwrap();
//!
//! // On 28 March 2027 there is no half past two in Berlin: the run comes at three, the first instant there is.
//! let coming: Vec<_> = nightly.runs_after(now, berlin).take(2).map(|run| berlin.local(run).to_rfc3339()).collect();
//! assert_eq!(coming, ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]);
//!
//! let error = "30 25 * * *".parse::<Schedule>().unwrap_err();
//! assert_eq!(error.to_string(), "column 4: hour: found `25`, expected a number from 0 to 23");
//! ```
mod calendar;
mod error;
mod every;
mod field;
mod jitter;
mod local;
mod parse;
mod plan;
mod planner;
mod runs;
mod slots;
mod text;
mod zone;

pub use error::{CronError, FieldProblem, ParseScheduleError, ParseZoneError};
pub use field::Field;
pub use jitter::Jitter;
pub use parse::{Schedule, Warning};
pub use plan::{CatchUp, Overlap, Plan, Run, SkipReason, Skipped, Step};
pub use planner::Planner;
pub use runs::Runs;
pub use slots::{Priority, Slots};
pub use zone::Zone;
