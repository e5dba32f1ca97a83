//! When the next scan is due: by the schedule, or at the interval; after a failure a little later.
use crate::settings::Live;
use chrono::{DateTime, TimeDelta, Utc};
use daemon_kit::ScheduleSettings;
use schedule::{Planner, SkipReason, Skipped, Step};
use std::time::Duration;

/// A scan that failed is tried again after this at the latest.
const RETRY: TimeDelta = TimeDelta::minutes(5);

/// Decides when to scan. Asked at every turn with what is configured then, so that a change counts at once; what is due
/// counts from the last scan, so that no change puts the next one off for longer than it says.
pub(crate) struct Timing {
    agent: String,
    /// When the last scan that came to its end began.
    last: Option<DateTime<Utc>>,
    retry: Option<DateTime<Utc>>,
    planned: Option<Planned>,
}

struct Planned {
    settings: ScheduleSettings,
    planner: Planner,
    /// When it has something to say next, as it said last.
    next: Option<DateTime<Utc>>,
}

impl Timing {
    /// `last` is when the last scan began; `None` where one is due at once.
    pub(crate) fn new(agent: String, last: Option<DateTime<Utc>>) -> Self {
        Self {
            agent,
            last,
            retry: None,
            planned: None,
        }
    }

    /// Whether a scan is due.
    pub(crate) fn is_due(&mut self, live: &Live, now: DateTime<Utc>) -> bool {
        self.follow(live, now);
        let is_planned = self.steps(now).contains(&Wish::Scan);
        let interval = interval(live);
        let due = match (self.retry, self.last, &self.planned) {
            (Some(retry), ..) => retry,
            (None, None, _) => now,
            (None, Some(_), Some(_)) => return is_planned,
            (None, Some(last), None) => last + interval,
        };
        // A clock that was set back must not put the next scan off for years.
        is_planned || now >= due || due - now > interval.max(RETRY)
    }

    /// How long nothing is due, as far as is known now: after [`Timing::is_due`] said that nothing is.
    pub(crate) fn rest(&self, live: &Live, now: DateTime<Utc>) -> Duration {
        let due = match (self.retry, self.last, &self.planned) {
            (Some(retry), _, Some(planned)) => planned.next.map_or(retry, |next| next.min(retry)),
            (Some(retry), _, None) => retry,
            (None, _, Some(planned)) => match planned.next {
                Some(next) => next,
                None => return Duration::MAX,
            },
            (None, Some(last), None) => last + interval(live),
            (None, None, None) => now,
        };
        (due - now).to_std().unwrap_or_default()
    }

    /// A scan begins, whether it was due or somebody asked for it.
    pub(crate) fn began(&mut self, now: DateTime<Utc>) {
        if let Some(planned) = self.planned.as_mut().filter(|planned| !planned.planner.is_running()) {
            // Whatever it answers, the scan is under way.
            let _ = planned.planner.request(now);
        }
    }

    /// While a scan lasts: whether the schedule wants it cancelled for the next one.
    pub(crate) fn wants_cancel(&mut self, live: &Live, now: DateTime<Utc>) -> bool {
        self.follow(live, now);
        self.steps(now).contains(&Wish::Cancel)
    }

    /// The scan that began at `began` has ended.
    pub(crate) fn ended(&mut self, live: &Live, began: DateTime<Utc>, has_failed: bool, now: DateTime<Utc>) {
        if let Some(planned) = &mut self.planned {
            planned.planner.ended();
        }
        if has_failed {
            self.retry = Some(now + interval(live).min(RETRY));
        } else {
            (self.last, self.retry) = (Some(began), None);
        }
    }

    /// Goes by what is configured now.
    fn follow(&mut self, live: &Live, now: DateTime<Utc>) {
        let settings = &live.scanner.schedule;
        let Some(plan) = settings.plan(&self.agent, "scan") else {
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
        loop {
            match planned.planner.next_step(now) {
                Step::Wait(next) => {
                    planned.next = next;
                    return wishes;
                }
                Step::Start(run) => {
                    if run.is_late {
                        tracing::info!(due = %run.due, missed = run.missed, "makes up for scans that were missed");
                    }
                    wishes.push(Wish::Scan);
                }
                Step::Queue(run) => tracing::info!(due = %run.due, "a scan is due and waits for the one that lasts"),
                Step::Cancel(run) => {
                    tracing::warn!(due = %run.due, "the scan that lasts is cancelled: the next one is due");
                    wishes.push(Wish::Cancel);
                }
                Step::Skip(skipped) => tell(skipped),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Scan,
    Cancel,
}

fn tell(Skipped { due, count, reason }: Skipped) {
    let why = match reason {
        SkipReason::Missed => "nobody was there",
        SkipReason::Running => "the one before it lasts",
        SkipReason::Waiting => "another one waits already",
        SkipReason::Replaced => "the next one took its place",
    };
    tracing::warn!(%due, count, why, "scans are left out");
}

fn interval(live: &Live) -> TimeDelta {
    TimeDelta::from_std(live.scanner.scan_interval.get()).unwrap_or(TimeDelta::days(36_500))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ScannerConfig;
    use core_model::Period;
    use daemon_kit::live::Reload;
    use schedule::{CatchUp, Overlap};

    fn live(change: impl FnOnce(&mut ScannerConfig)) -> Live {
        let mut config = ScannerConfig::default();
        change(&mut config);
        config.split().1
    }

    fn nightly(overlap: Overlap) -> Live {
        live(|config| {
            config.scanner.schedule.when = Some("0 2 * * *".parse().unwrap());
            config.scanner.schedule.overlap = overlap;
            config.scanner.schedule.catch_up = CatchUp::Once;
        })
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2027-{text}Z").parse().unwrap()
    }

    fn run(timing: &mut Timing, live: &Live, from: &str, to: &str) {
        timing.began(at(from));
        timing.ended(live, at(from), false, at(to));
    }

    #[test]
    fn an_interval_counts_from_the_last_scan_whatever_it_becomes() {
        let every = |hours: u64| live(|config| config.scanner.scan_interval = Period::from_secs(hours * 3600));
        let mut timing = Timing::new("a".to_owned(), None);
        assert!(timing.is_due(&every(6), at("01-01T00:00:00")));
        run(&mut timing, &every(6), "01-01T00:00:00", "01-01T00:10:00");
        assert!(!timing.is_due(&every(6), at("01-01T05:59:59")));
        assert!(timing.is_due(&every(2), at("01-01T02:00:00")));
        assert!(!timing.is_due(&every(12), at("01-01T06:00:00")));
        // A clock that was set back by years.
        assert!(timing.is_due(&every(6), "2020-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_failed_scan_is_tried_again_soon() {
        let live = live(|_| {});
        let mut timing = Timing::new("a".to_owned(), None);
        timing.began(at("01-01T00:00:00"));
        timing.ended(&live, at("01-01T00:00:00"), true, at("01-01T00:01:00"));
        assert!(!timing.is_due(&live, at("01-01T00:05:59")));
        assert!(timing.is_due(&live, at("01-01T00:06:00")));
    }

    #[test]
    fn a_schedule_takes_the_place_of_the_interval_and_makes_up_once_for_what_was_missed() {
        let nightly = nightly(Overlap::Skip);
        // The first scan of all waits for no night.
        let mut timing = Timing::new("a".to_owned(), None);
        assert!(timing.is_due(&nightly, at("01-01T12:00:00")));
        run(&mut timing, &nightly, "01-01T12:00:00", "01-01T12:10:00");
        assert!(!timing.is_due(&nightly, at("01-02T01:59:59")));
        assert!(timing.is_due(&nightly, at("01-02T02:00:00")));
        run(&mut timing, &nightly, "01-02T02:00:00", "01-02T02:10:00");
        // Three nights down: one scan stands for all.
        let mut again = Timing::new("a".to_owned(), Some(at("01-02T02:00:00")));
        assert!(again.is_due(&nightly, at("01-05T09:00:00")));
        run(&mut again, &nightly, "01-05T09:00:00", "01-05T09:10:00");
        assert!(!again.is_due(&nightly, at("01-05T10:00:00")));
        assert!(again.is_due(&nightly, at("01-06T02:00:00")));
    }

    #[test]
    fn what_is_due_while_a_scan_lasts_goes_by_the_policy() {
        for (overlap, cancels, follows) in [
            (Overlap::Skip, false, false),
            (Overlap::Queue, false, true),
            (Overlap::Cancel, true, true),
        ] {
            let nightly = nightly(overlap);
            let mut timing = Timing::new("a".to_owned(), Some(at("01-01T02:00:00")));
            assert!(timing.is_due(&nightly, at("01-02T02:00:00")));
            timing.began(at("01-02T02:00:00"));
            assert!(!timing.wants_cancel(&nightly, at("01-02T12:00:00")));
            assert_eq!(
                timing.wants_cancel(&nightly, at("01-03T02:00:00")),
                cancels,
                "{overlap:?}"
            );
            timing.ended(&nightly, at("01-02T02:00:00"), false, at("01-03T03:00:00"));
            assert_eq!(timing.is_due(&nightly, at("01-03T03:00:00")), follows, "{overlap:?}");
        }
    }
}
