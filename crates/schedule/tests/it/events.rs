//! The planner under any row of events: a clock that jumps, runs that end late, reloads, restarts.
use crate::planner::{plan, steps};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use schedule::{CatchUp, Jitter, Overlap, Plan, Planner, Step, Zone};
use std::time::Duration;

#[derive(Debug, Clone)]
enum Event {
    Forward(i64),
    Back(i64),
    Ended,
    Request,
    Reload(usize),
    Restart,
}

const SCHEDULES: [&str; 5] = [
    "*/7 * * * *",
    "0 */2 * * *",
    "15 3,15 * * *",
    "every 45m",
    "30 2 * * MON-FRI",
];

fn any_plan() -> impl Strategy<Value = Plan> {
    let overlap = prop::sample::select(vec![Overlap::Skip, Overlap::Queue, Overlap::Cancel]);
    let catch_up = prop::sample::select(vec![CatchUp::None, CatchUp::Once, CatchUp::All]);
    (0..SCHEDULES.len(), overlap, catch_up, 0u64..20_000, any::<u64>()).prop_map(
        |(number, overlap, catch_up, jitter, key)| Plan {
            zone: "Europe/Berlin".parse::<Zone>().unwrap(),
            jitter: Jitter::up_to(Duration::from_secs(jitter)),
            key,
            overlap,
            catch_up,
            ..plan(SCHEDULES[number])
        },
    )
}

/// Half a day before the clocks of Berlin are set back.
fn begin() -> DateTime<Utc> {
    "2027-10-30T12:00:00Z".parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_run_is_accounted_for_exactly_once(
        plan in any_plan(),
        events in prop::collection::vec(prop_oneof![6 => (0i64..4000).prop_map(Event::Forward), 1 => (0i64..90_000).prop_map(Event::Forward), 4 => Just(Event::Ended), 1 => Just(Event::Restart)], 1..60),
    ) {
        prop_assume!(!plan.schedule.to_string().starts_with("every"));
        let mut planner = Planner::new(plan.clone(), None, begin());
        let due = |planner: &Planner| plan.schedule.count_between(begin(), planner.handled_until(), plan.zone, usize::MAX);
        let (mut now, mut accounted, mut is_waiting, mut last) = (begin(), 0, false, begin());
        for event in events {
            match event {
                Event::Forward(seconds) => now += TimeDelta::seconds(seconds),
                Event::Ended => planner.ended(),
                _ => {
                    // The run that lasts and the one that waits go down with the process.
                    if std::mem::take(&mut is_waiting) {
                        accounted = due(&planner);
                    }
                    planner = Planner::new(plan.clone(), Some(planner.handled_until()), now);
                }
            }
            for step in steps(&mut planner, now) {
                match step {
                    Step::Start(run) => {
                        prop_assert!(run.due > last && run.due <= now, "{} twice or early", run.due);
                        last = run.due;
                        accounted += 1 + run.missed;
                        is_waiting = false;
                    }
                    Step::Queue(_) | Step::Cancel(_) => {
                        prop_assert!(!is_waiting);
                        is_waiting = true;
                    }
                    Step::Skip(skipped) => accounted += skipped.count,
                    Step::Wait(until) => prop_assert!(until.is_none_or(|until| until > now)),
                }
            }
            if is_waiting {
                prop_assert!(accounted < due(&planner));
            } else {
                prop_assert_eq!(accounted, due(&planner), "at {}", now);
            }
        }
    }

    #[test]
    fn whatever_the_clock_does_there_is_neither_storm_nor_standstill(
        plan in any_plan(),
        events in prop::collection::vec(prop_oneof![
            4 => (0i64..9000).prop_map(Event::Forward), 1 => (0i64..1_500_000_000).prop_map(Event::Forward),
            2 => (0i64..9000).prop_map(Event::Back), 1 => (0i64..1_500_000_000).prop_map(Event::Back),
            3 => Just(Event::Ended), 1 => Just(Event::Request), 1 => (0..SCHEDULES.len()).prop_map(Event::Reload), 1 => Just(Event::Restart),
        ], 1..40),
    ) {
        let mut planner = Planner::new(plan.clone(), None, begin());
        let mut now = begin();
        for event in events {
            match event {
                Event::Forward(seconds) => now = (now + TimeDelta::seconds(seconds)).min("2090-01-01T00:00:00Z".parse().unwrap()),
                Event::Back(seconds) => now = (now - TimeDelta::seconds(seconds)).max(DateTime::UNIX_EPOCH),
                Event::Ended => planner.ended(),
                Event::Request => drop(planner.request(now)),
                Event::Reload(number) => planner.set_plan(Plan { schedule: SCHEDULES[number].parse().unwrap(), ..plan.clone() }),
                Event::Restart => planner = Planner::new(planner.plan().clone(), Some(planner.handled_until()), now),
            }
            let lasted = planner.is_running();
            let steps = steps(&mut planner, now);
            let starts = steps.iter().filter(|step| matches!(step, Step::Start(_))).count();
            prop_assert!(starts <= usize::from(!lasted), "one run at a time: {:?}", steps);
            match steps[steps.len() - 1] {
                // Three hours of a clock set back, three days to the next run of a Friday's, and its jitter.
                Step::Wait(Some(until)) => prop_assert!(until > now && until - now < TimeDelta::days(4), "{until}"),
                // Only a run that lasts may hold up the others, where each is made up for.
                _ => prop_assert!(planner.is_running() && planner.plan().catch_up == CatchUp::All),
            }
        }
    }
}
