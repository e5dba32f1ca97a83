//! When a job runs: a section that products use for each of their jobs.

use conf::Check;
use core_model::Period;
use schedule::{CatchUp, Jitter, Overlap, Plan, Schedule, Warning, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a job runs. Without `when` it runs at its interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    expecting = "a section such as `{ when = \"30 2 * * *\" }`, in YAML `{ when: \"30 2 * * *\" }`"
)]
pub struct ScheduleSettings {
    /// Cron with five fields, six (seconds first) or seven (years last), `@daily` and friends, or `every 6h`. Where both
    /// the day of the month and the weekday are restricted, either suffices.
    pub when: Option<Schedule>,
    /// The time zone whose clocks `when` speaks of, such as `Europe/Berlin`. On the day of a change a job of a fixed
    /// time runs once.
    pub zone: Zone,
    /// How far each run is put off, by a share of this that is another one for each agent: so a fleet does not begin
    /// all at once.
    pub jitter: Period,
    /// What becomes of a run that is due while the one before it still lasts: `skip`, `queue` or `cancel`.
    pub overlap: Overlap,
    /// What becomes of runs that were due while nobody was there to start them: `none`, `once` or `all`.
    pub catch_up: CatchUp,
}

impl ScheduleSettings {
    /// The plan of the job `job` of the agent `agent`; `None` where it runs at its interval.
    pub fn plan(&self, agent: &str, job: &str) -> Option<Plan> {
        let plan = Plan::new(self.when.clone()?);
        Some(Plan {
            zone: self.zone,
            jitter: Jitter::up_to(self.jitter.get()),
            key: Jitter::key([agent, job]),
            overlap: self.overlap,
            catch_up: self.catch_up,
            ..plan
        })
    }

    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        let key = format!("{at}.when");
        for warning in self.when.iter().flat_map(Schedule::warnings) {
            let help = match warning {
                Warning::NeverDue => Some("write a day that exists"),
                Warning::EitherDay { .. } => Some("restrict one of the two days only, if both should have to fit"),
                _ => None,
            };
            if *warning == Warning::NeverDue {
                // Nothing would ever be done, and nobody would notice.
                check.problem(&key, warning.to_string(), help);
            } else {
                check.warning(&key, warning.to_string(), help);
            }
        }
    }
}
