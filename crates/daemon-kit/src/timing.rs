//! When a job is due: by its schedule, or at an interval; after a failure a little later.
use crate::ScheduleSettings;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::Period;
use schedule::{Planner, SkipReason, Skipped, Step};
use std::time::Duration;

/// A job that failed is tried again after this at the latest.
const RETRY: TimeDelta = TimeDelta::minutes(5);

/// Decides when a job runs. Asked at every turn with what is configured then, so that a change counts at once; what is due
/// counts from the last run, so that no change puts the next one off for longer than it says.
///
/// An interval is that of a job without a schedule (`ScheduleSettings::when`); without either it is never due by itself,
/// but for its first run.
///
/// ```
/// use core_model::Period;
/// use daemon_kit::{ScheduleSettings, Timing};
///
/// let (schedule, hourly) = (ScheduleSettings::default(), Some(Period::from_secs(3600)));
/// let start = "2027-01-01T00:00:00Z".parse().unwrap();
/// let mut timing = Timing::new("web-1-scanner", "scan", None);
/// assert!(timing.is_due(&schedule, hourly, start));
/// timing.began(start);
/// timing.ended(hourly, start, false, start);
/// assert_eq!(timing.rest(hourly, start).as_secs(), 3600);
/// ```
#[derive(Debug)]
pub struct Timing {
    agent: String,
    job: String,
    /// When the last run that came to its end began.
    last: Option<DateTime<Utc>>,
    retry: Option<DateTime<Utc>>,
    planned: Option<Planned>,
}

#[derive(Debug)]
struct Planned {
    settings: ScheduleSettings,
    planner: Planner,
    /// When it has something to say next, as it said last.
    next: Option<DateTime<Utc>>,
}

impl Timing {
    /// Of the job `job` of the agent `agent`: both names decide its share of the jitter, and `job` is in the log. `last` is
    /// when the last run began; `None` where one is due at once.
    pub fn new(agent: impl Into<String>, job: impl Into<String>, last: Option<DateTime<Utc>>) -> Self {
        Self {
            agent: agent.into(),
            job: job.into(),
            last,
            retry: None,
            planned: None,
        }
    }

    /// Whether a run is due.
    pub fn is_due(&mut self, schedule: &ScheduleSettings, interval: Option<Period>, now: DateTime<Utc>) -> bool {
        self.follow(schedule, now);
        let is_planned = self.steps(now).contains(&Wish::Run);
        let interval = interval.map(delta);
        let due = match (self.retry, self.last, &self.planned, interval) {
            (Some(retry), ..) => retry,
            (None, None, ..) => now,
            (None, Some(_), Some(_), _) | (None, Some(_), None, None) => return is_planned,
            (None, Some(last), None, Some(interval)) => last + interval,
        };
        // A clock that was set back must not put the next run off for years.
        is_planned || now >= due || due - now > interval.unwrap_or(RETRY).max(RETRY)
    }

    /// How long nothing is due, as far as is known now: after [`Timing::is_due`] said that nothing is.
    pub fn rest(&self, interval: Option<Period>, now: DateTime<Utc>) -> Duration {
        let due = self.next(interval, now);
        due.map_or(Duration::MAX, |due| (due - now).to_std().unwrap_or_default())
    }

    /// When something is due next, as far as is known now: after [`Timing::is_due`] said that nothing is.
    pub fn next(&self, interval: Option<Period>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match (self.retry, self.last, &self.planned) {
            (Some(retry), _, Some(planned)) => Some(planned.next.map_or(retry, |next| next.min(retry))),
            (Some(retry), _, None) => Some(retry),
            (None, _, Some(planned)) => planned.next,
            (None, Some(last), None) => interval.map(|interval| last + delta(interval)),
            (None, None, None) => Some(now),
        }
    }

    /// A run begins, whether it was due or somebody asked for it.
    pub fn began(&mut self, now: DateTime<Utc>) {
        if let Some(planned) = self.planned.as_mut().filter(|planned| !planned.planner.is_running()) {
            // Whatever it answers, the run is under way.
            let _ = planned.planner.request(now);
        }
    }

    /// While a run lasts: whether the schedule wants it cancelled for the next one.
    pub fn wants_cancel(&mut self, schedule: &ScheduleSettings, now: DateTime<Utc>) -> bool {
        self.follow(schedule, now);
        self.steps(now).contains(&Wish::Cancel)
    }

    /// The run that began at `began` has ended.
    pub fn ended(&mut self, interval: Option<Period>, began: DateTime<Utc>, has_failed: bool, now: DateTime<Utc>) {
        if let Some(planned) = &mut self.planned {
            planned.planner.ended();
        }
        if has_failed {
            self.retry = Some(now + interval.map_or(RETRY, delta).min(RETRY));
        } else {
            (self.last, self.retry) = (Some(began), None);
        }
    }

    /// Goes by what is configured now.
    fn follow(&mut self, settings: &ScheduleSettings, now: DateTime<Utc>) {
        let Some(plan) = settings.plan(&self.agent, &self.job) else {
            self.planned = None;
            return;
        };
        match &mut self.planned {
            Some(planned) if planned.settings == *settings => {}
            Some(planned) => {
                planned.planner.set_plan(plan);
                planned.settings = settings.clone();
            }
            None => {
                self.planned = Some(Planned {
                    settings: settings.clone(),
                    planner: Planner::new(plan, self.last, now),
                    next: None,
                });
            }
        }
    }

    fn steps(&mut self, now: DateTime<Utc>) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let Some(planned) = &mut self.planned else {
            return wishes;
        };
        let job = &self.job;
        loop {
            match planned.planner.next_step(now) {
                Step::Wait(next) => {
                    planned.next = next;
                    return wishes;
                }
                Step::Start(run) => {
                    if run.is_late {
                        tracing::info!(job, due = %run.due, missed = run.missed, "makes up for runs that were missed");
                    }
                    wishes.push(Wish::Run);
                }
                Step::Queue(run) => {
                    tracing::info!(job, due = %run.due, "a run is due and waits for the one that lasts")
                }
                Step::Cancel(run) => {
                    tracing::warn!(job, due = %run.due, "the run that lasts is cancelled: the next one is due");
                    wishes.push(Wish::Cancel);
                }
                Step::Skip(skipped) => tell(job, skipped),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Cancel,
}

fn tell(job: &str, Skipped { due, count, reason }: Skipped) {
    let why = match reason {
        SkipReason::Missed => "nobody was there",
        SkipReason::Running => "the one before it lasts",
        SkipReason::Waiting => "another one waits already",
        SkipReason::Replaced => "the next one took its place",
    };
    tracing::warn!(job, %due, count, why, "runs are left out");
}

fn delta(interval: Period) -> TimeDelta {
    TimeDelta::from_std(interval.get()).unwrap_or(TimeDelta::days(36_500))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::{CatchUp, Overlap};

    const SIX_HOURS: Option<Period> = Some(Period::from_secs(6 * 3600));

    fn nightly(overlap: Overlap) -> ScheduleSettings {
        ScheduleSettings {
            when: Some("0 2 * * *".parse().unwrap()),
            overlap,
            catch_up: CatchUp::Once,
            ..ScheduleSettings::default()
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2027-{text}Z").parse().unwrap()
    }

    fn run(timing: &mut Timing, from: &str, to: &str) {
        timing.began(at(from));
        timing.ended(SIX_HOURS, at(from), false, at(to));
    }

    #[test]
    fn an_interval_counts_from_the_last_run_whatever_it_becomes() {
        let (unplanned, every) = (ScheduleSettings::default(), |hours: u64| {
            Some(Period::from_secs(hours * 3600))
        });
        let mut timing = Timing::new("a", "scan", None);
        let is_due = |timing: &mut Timing, hours, now| timing.is_due(&unplanned, every(hours), now);
        assert!(is_due(&mut timing, 6, at("01-01T00:00:00")));
        run(&mut timing, "01-01T00:00:00", "01-01T00:10:00");
        assert!(!is_due(&mut timing, 6, at("01-01T05:59:59")));
        assert!(is_due(&mut timing, 2, at("01-01T02:00:00")));
        assert!(!is_due(&mut timing, 12, at("01-01T06:00:00")));
        // A clock that was set back by years.
        assert!(is_due(&mut timing, 6, "2020-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_failed_run_is_tried_again_soon() {
        let unplanned = ScheduleSettings::default();
        for interval in [SIX_HOURS, None] {
            let mut timing = Timing::new("a", "scan", None);
            timing.began(at("01-01T00:00:00"));
            timing.ended(interval, at("01-01T00:00:00"), true, at("01-01T00:01:00"));
            assert!(
                !timing.is_due(&unplanned, interval, at("01-01T00:05:59")),
                "{interval:?}"
            );
            assert!(
                timing.is_due(&unplanned, interval, at("01-01T00:06:00")),
                "{interval:?}"
            );
        }
    }

    #[test]
    fn without_a_schedule_and_an_interval_nothing_is_due_until_the_configuration_says_so() {
        let unplanned = ScheduleSettings::default();
        let mut timing = Timing::new("a", "web", Some(at("01-01T00:00:00")));
        assert!(!timing.is_due(&unplanned, None, at("12-31T00:00:00")));
        assert_eq!(timing.rest(None, at("12-31T00:00:00")), Duration::MAX);
        assert!(timing.is_due(&unplanned, SIX_HOURS, at("12-31T00:00:00")));
        let nightly = nightly(Overlap::Skip);
        assert!(!timing.is_due(
            &ScheduleSettings {
                catch_up: CatchUp::None,
                ..nightly
            },
            None,
            at("12-31T00:00:00")
        ));
        assert_eq!(timing.rest(None, at("12-31T00:00:00")), Duration::from_secs(2 * 3600));
    }

    #[test]
    fn a_schedule_takes_the_place_of_the_interval_and_makes_up_once_for_what_was_missed() {
        let nightly = nightly(Overlap::Skip);
        // The first run of all waits for no night.
        let mut timing = Timing::new("a", "scan", None);
        assert!(timing.is_due(&nightly, None, at("01-01T12:00:00")));
        run(&mut timing, "01-01T12:00:00", "01-01T12:10:00");
        assert!(!timing.is_due(&nightly, None, at("01-02T01:59:59")));
        assert!(timing.is_due(&nightly, None, at("01-02T02:00:00")));
        run(&mut timing, "01-02T02:00:00", "01-02T02:10:00");
        // Three nights down: one run stands for all.
        let mut again = Timing::new("a", "scan", Some(at("01-02T02:00:00")));
        assert!(again.is_due(&nightly, None, at("01-05T09:00:00")));
        run(&mut again, "01-05T09:00:00", "01-05T09:10:00");
        assert!(!again.is_due(&nightly, None, at("01-05T10:00:00")));
        assert!(again.is_due(&nightly, None, at("01-06T02:00:00")));
    }

    #[test]
    fn what_is_due_while_a_run_lasts_goes_by_the_policy() {
        for (overlap, cancels, follows) in [
            (Overlap::Skip, false, false),
            (Overlap::Queue, false, true),
            (Overlap::Cancel, true, true),
        ] {
            let nightly = nightly(overlap);
            let mut timing = Timing::new("a", "scan", Some(at("01-01T02:00:00")));
            assert!(timing.is_due(&nightly, None, at("01-02T02:00:00")));
            timing.began(at("01-02T02:00:00"));
            assert!(!timing.wants_cancel(&nightly, at("01-02T12:00:00")));
            assert_eq!(
                timing.wants_cancel(&nightly, at("01-03T02:00:00")),
                cancels,
                "{overlap:?}"
            );
            timing.ended(None, at("01-02T02:00:00"), false, at("01-03T03:00:00"));
            assert_eq!(
                timing.is_due(&nightly, None, at("01-03T03:00:00")),
                follows,
                "{overlap:?}"
            );
        }
    }
}
