//! What to do about one job, from what was done and the instant at hand.
use crate::plan::{CatchUp, Overlap, Plan, Run, SkipReason, Skipped, Step};
use chrono::{DateTime, TimeDelta, Utc};

/// How many missed runs are counted.
const COUNTED: usize = 1000;

/// How far a clock may be set back before times of day that were served are taken for new ones. It is what Vixie's cron
/// holds for a correction, and more than any change of daylight saving.
const SET_BACK: TimeDelta = TimeDelta::hours(3);

/// The state of one job: what it was last handled for, whether it runs, and what waits.
///
/// [`Planner::next_step`] is asked again and again until it says [`Step::Wait`]. A caller that waits by a timer asks once a
/// minute at least, for timers do not see a clock that is set.
///
/// **Due counts from the last run**, so no reload starves a job: [`Planner::set_plan`] keeps what was handled, and the
/// next run is the first one after that. A changed plan has missed nothing: of the times that it names since the last
/// run, the last alone is made up for; an `every` that is overdue by it starts at once.
///
/// **A clock that is set** makes neither a storm nor a standstill. *Forward*, by however much: the runs between are
/// missed ones, of which `catch_up` makes none, one, or a bounded number. *Back*: what was handled stays handled, so that
/// nothing doubles, as long as the clock was set back by no more than three hours for times of day, and by no more
/// than one interval (and three hours) for intervals. Beyond that the job goes on from the instant at hand, as if it
/// had just run: a clock that once stood in the year 2099 does not silence a job until then.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use schedule::{Plan, Planner, Step};
///
/// let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
/// let plan = Plan::new("0 3 * * *".parse().unwrap());
/// let mut planner = Planner::new(plan, Some(at("2027-01-10T03:00:00Z")), at("2027-01-13T08:00:00Z"));
///
/// // Three nights were missed; by default one run makes up for them.
/// let Step::Start(run) = planner.next_step(at("2027-01-13T08:00:00Z")) else { panic!() };
/// assert!(run.is_late && run.missed == 2);
/// planner.ended();
/// assert_eq!(planner.next_step(at("2027-01-13T08:05:00Z")), Step::Wait(Some(at("2027-01-14T03:00:00Z"))));
/// ```
#[derive(Debug, Clone)]
pub struct Planner {
    plan: Plan,
    /// What is due up to this instant has been seen to.
    handled: DateTime<Utc>,
    is_running: bool,
    /// The run that starts when the one that lasts has ended.
    waiting: Option<Run>,
    /// The plan has changed since what was handled.
    is_changed: bool,
}

impl Planner {
    /// For a job that was last handled at `last`; one that never was counts from `now`.
    pub fn new(plan: Plan, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let mut planner = Self {
            plan,
            handled: now,
            is_running: false,
            waiting: None,
            is_changed: false,
        };
        planner.handle(last.unwrap_or(now));
        planner
    }

    /// How the job is to be run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is due up to this instant has been seen to: what to store, and to hand to [`Planner::new`] after a restart.
    pub fn handled_until(&self) -> DateTime<Utc> {
        self.handled
    }

    /// Whether a run lasts.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// From now on by this plan. Runs that last or wait are not touched.
    pub fn set_plan(&mut self, plan: Plan) {
        self.is_changed |= plan.schedule != self.plan.schedule || plan.zone != self.plan.zone;
        self.plan = plan;
        self.handle(self.handled);
    }

    /// The run that was started has ended, whichever way.
    pub fn ended(&mut self) {
        self.is_running = false;
    }

    /// Somebody wants a run at once. It goes by the policy for overlaps as if it were due; an `every` counts on from it.
    pub fn request(&mut self, now: DateTime<Utc>) -> Step {
        if self.plan.schedule.is_every() {
            self.handle(now);
        }
        self.admit(Run {
            due: now,
            is_late: false,
            missed: 0,
        })
    }

    /// What to do now. Ask again after each answer but [`Step::Wait`], which an answer always comes to: a run is
    /// handled once.
    pub fn next_step(&mut self, now: DateTime<Utc>) -> Step {
        self.notice_set_back(now);
        if !self.is_running
            && let Some(run) = self.waiting.take()
        {
            return self.admit(run);
        }
        // What the new plan does not find overdue here is due by it as usual from now on.
        let is_new = std::mem::take(&mut self.is_changed);
        let Some(first) = self.next_after(self.handled) else {
            return Step::Wait(None);
        };
        let start = self.start(first);
        if now < start {
            return Step::Wait(Some(start));
        }
        let last = self.last_started(now).filter(|last| *last >= first).unwrap_or(first);
        let is_late = now.signed_duration_since(self.start(last)).to_std().unwrap_or_default() > self.plan.grace;
        if is_new {
            return self.take_new(last, is_late, now);
        }
        match self.plan.catch_up {
            CatchUp::All if is_late || first < last => self.make_up(first, last),
            CatchUp::None if is_late => self.skip_missed(last),
            _ => self.take(last, is_late, now),
        }
    }

    /// One run for everything up to the last that was due.
    fn take(&mut self, last: DateTime<Utc>, is_late: bool, now: DateTime<Utc>) -> Step {
        let missed = self.count(last).saturating_sub(1);
        // A late `every` counts on from its start, or the next one might follow at its heels.
        self.handle(if is_late && self.plan.schedule.is_every() {
            now
        } else {
            last
        });
        self.admit(Run {
            due: last,
            is_late,
            missed,
        })
    }

    /// What a schedule finds due that did not hold when it was due: nobody has missed it.
    fn take_new(&mut self, last: DateTime<Utc>, is_late: bool, now: DateTime<Utc>) -> Step {
        let is_overdue = is_late && self.plan.schedule.is_every();
        if is_late && !is_overdue && self.plan.catch_up == CatchUp::None {
            self.handle(last);
            return self.next_step(now);
        }
        let due = if is_overdue { now } else { last };
        self.handle(due);
        self.admit(Run {
            due,
            is_late: is_late && !is_overdue,
            missed: 0,
        })
    }

    fn skip_missed(&mut self, last: DateTime<Utc>) -> Step {
        let count = self.count(last);
        self.handle(last);
        Step::Skip(Skipped {
            due: last,
            count,
            reason: SkipReason::Missed,
        })
    }

    /// The missed runs one after another, each when the one before has ended.
    fn make_up(&mut self, first: DateTime<Utc>, last: DateTime<Utc>) -> Step {
        if self.is_running {
            return Step::Wait(None);
        }
        if self.count_to(last, CatchUp::MOST + 1) > CatchUp::MOST {
            let mut kept = last;
            for _ in 1..CatchUp::MOST {
                kept = self.last_until(kept - TimeDelta::nanoseconds(1)).unwrap_or(kept);
            }
            let dropped = self.last_until(kept - TimeDelta::nanoseconds(1)).unwrap_or(first);
            return self.skip_missed(dropped);
        }
        self.handle(first);
        self.admit(Run {
            due: first,
            is_late: true,
            missed: 0,
        })
    }

    /// Starts a run, or does with it what the policy for overlaps says.
    fn admit(&mut self, run: Run) -> Step {
        let skip = |run: Run, reason| {
            Step::Skip(Skipped {
                due: run.due,
                count: run.missed + 1,
                reason,
            })
        };
        if !self.is_running {
            self.is_running = true;
            return Step::Start(run);
        }
        match (self.plan.overlap, self.waiting) {
            (Overlap::Skip, _) => skip(run, SkipReason::Running),
            (Overlap::Queue, Some(_)) => skip(run, SkipReason::Waiting),
            (Overlap::Queue, None) => {
                self.waiting = Some(run);
                Step::Queue(run)
            }
            (Overlap::Cancel, Some(replaced)) => {
                self.waiting = Some(run);
                skip(replaced, SkipReason::Replaced)
            }
            (Overlap::Cancel, None) => {
                self.waiting = Some(run);
                Step::Cancel(run)
            }
        }
    }

    /// A clock that was set back by much must not silence the job until it is where it was.
    fn notice_set_back(&mut self, now: DateTime<Utc>) {
        if self.handled <= now {
            return;
        }
        let interval = || {
            self.next_after(self.handled)
                .map_or(SET_BACK, |next| next - self.handled)
        };
        let most = if self.plan.schedule.is_fixed() {
            SET_BACK
        } else {
            interval().min(SET_BACK)
        };
        if self.handled - now > most {
            self.handle(now);
        }
    }

    fn handle(&mut self, until: DateTime<Utc>) {
        self.handled = until;
        self.plan.schedule.anchor(until);
    }

    /// When the run due at an instant starts: put off by jitter, but not as far as the next one.
    fn start(&self, due: DateTime<Utc>) -> DateTime<Utc> {
        let bound = self.next_after(due).map_or(TimeDelta::MAX, |next| next - due);
        let offset = self.plan.jitter.within(bound).offset(self.plan.key, due);
        let offset = TimeDelta::from_std(offset).unwrap_or(TimeDelta::zero());
        due.checked_add_signed(offset).unwrap_or(due)
    }

    /// The last run whose start has come.
    fn last_started(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let last = self.last_until(now)?;
        if self.start(last) <= now {
            return Some(last);
        }
        self.last_until(last - TimeDelta::nanoseconds(1))
    }

    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.plan.schedule.next_after(instant, self.plan.zone)
    }

    fn last_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.plan.schedule.last_until(instant, self.plan.zone)
    }

    fn count(&self, until: DateTime<Utc>) -> usize {
        self.count_to(until, COUNTED)
    }

    fn count_to(&self, until: DateTime<Utc>, most: usize) -> usize {
        self.plan
            .schedule
            .count_between(self.handled, until, self.plan.zone, most)
    }
}
