//! What a job wants of its schedule, and what is to be done about a run.
use crate::{Jitter, Schedule, Zone};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What becomes of a run that is due while the one before it still lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It starts when the other ends; one at most waits, further ones are left out.
    Queue,
    /// The other is cancelled, and it starts when that has ended.
    Cancel,
}

/// What becomes of runs that were due while nobody was there to start them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are left out.
    None,
    /// One run stands for all of them.
    #[default]
    Once,
    /// Each is made up for, one after another, up to the last [`CatchUp::MOST`] of them.
    All,
}

impl CatchUp {
    /// How many missed runs are made up for at most.
    pub const MOST: usize = 100;
}

/// How a job is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When it is due.
    pub schedule: Schedule,
    /// Where the clocks stand that the schedule speaks of.
    pub zone: Zone,
    /// How far each run may be put off. A run is never put off to the next one or beyond.
    pub jitter: Jitter,
    /// What the jitter goes by: see [`Jitter::key`].
    pub key: u64,
    /// What becomes of a run that is due while another lasts.
    pub overlap: Overlap,
    /// What becomes of missed runs.
    pub catch_up: CatchUp,
    /// How much later than due a run may start before it counts as missed.
    pub grace: Duration,
}

impl Plan {
    /// UTC, no jitter, the usual policies, a minute of grace.
    pub fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            zone: Zone::UTC,
            jitter: Jitter::NONE,
            key: 0,
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            grace: Duration::from_secs(60),
        }
    }
}

/// A run of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// When it was due, before jitter.
    pub due: DateTime<Utc>,
    /// It starts later than grace allows: it makes up for what was missed.
    pub is_late: bool,
    /// How many earlier runs were missed and are not made up for otherwise. Counting ends at 1000.
    pub missed: usize,
}

/// Runs that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Skipped {
    /// When the last of them was due.
    pub due: DateTime<Utc>,
    /// How many there are. Counting ends at 1000.
    pub count: usize,
    /// Why.
    pub reason: SkipReason,
}

/// Why runs are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Nobody was there when they were due, and the plan does not make up for that.
    Missed,
    /// Another run lasts.
    Running,
    /// Another run lasts and one waits already.
    Waiting,
    /// It waited for a cancelled run to end, and the next one has taken its place.
    Replaced,
}

/// What to do about a job at this instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "the planner takes it for done"]
pub enum Step {
    /// Start this run; tell [`Planner::ended`](crate::Planner::ended) when it has ended. Then ask again.
    Start(Run),
    /// This run is due and waits until the one that lasts has ended. Nothing to do but to say so; ask again.
    Queue(Run),
    /// Cancel the run that lasts: this one waits for it to end. Ask again.
    Cancel(Run),
    /// These runs are left out. Nothing to do but to say so; ask again.
    Skip(Skipped),
    /// Ask again at this instant, when a run has ended, or when the plan has changed. Without an instant there is
    /// nothing due until then.
    Wait(Option<DateTime<Utc>>),
}
