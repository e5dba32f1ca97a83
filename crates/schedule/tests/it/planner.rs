//! What is done about runs: on time, late, overlapping, after a reload, and under a clock that jumps.
use chrono::{DateTime, TimeDelta, Utc};
use schedule::{CatchUp, Jitter, Overlap, Plan, Planner, Run, SkipReason, Skipped, Step};
use std::{collections::BTreeSet, time::Duration};

fn at(text: &str) -> DateTime<Utc> {
    format!("2027-01-{text}Z").parse().unwrap()
}

pub(crate) fn plan(schedule: &str) -> Plan {
    Plan::new(schedule.parse().unwrap())
}

fn run(due: &str) -> Run {
    Run {
        due: at(due),
        is_late: false,
        missed: 0,
    }
}

fn late(due: &str, missed: usize) -> Run {
    Run {
        is_late: true,
        missed,
        ..run(due)
    }
}

fn skip(due: &str, count: usize, reason: SkipReason) -> Step {
    Step::Skip(Skipped {
        due: at(due),
        count,
        reason,
    })
}

fn wait(until: &str) -> Step {
    Step::Wait(Some(at(until)))
}

/// Every answer up to the wait.
pub(crate) fn steps(planner: &mut Planner, now: DateTime<Utc>) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        steps.push(planner.next_step(now));
        assert!(steps.len() <= 3 * CatchUp::MOST, "no end: {:?}", &steps[..5]);
        if matches!(steps[steps.len() - 1], Step::Wait(_)) {
            return steps;
        }
    }
}

#[track_caller]
fn check(planner: &mut Planner, now: &str, wanted: &[Step]) {
    assert_eq!(steps(planner, at(now)), wanted, "at {now}");
}

/// Last handled on the tenth at midnight.
fn planner(plan: Plan) -> Planner {
    Planner::new(plan, Some(at("10T00:00:00")), at("10T00:00:00"))
}

#[test]
fn a_run_starts_when_it_is_due_and_the_next_is_waited_for() {
    let mut planner = planner(plan("0 3 * * *"));
    check(&mut planner, "10T02:59:59", &[wait("10T03:00:00")]);
    check(
        &mut planner,
        "10T03:00:00",
        &[Step::Start(run("10T03:00:00")), wait("11T03:00:00")],
    );
    assert!(planner.is_running());
    assert_eq!(planner.handled_until(), at("10T03:00:00"));
    planner.ended();
    // A timer that fires late is no missed run.
    check(
        &mut planner,
        "11T03:01:00",
        &[Step::Start(run("11T03:00:00")), wait("12T03:00:00")],
    );
}

#[test]
fn a_job_without_a_last_run_counts_from_the_beginning() {
    let mut planner = Planner::new(plan("every 6h"), None, at("10T01:30:00"));
    check(&mut planner, "10T01:30:00", &[wait("10T07:30:00")]);
    check(
        &mut planner,
        "10T07:30:02",
        &[Step::Start(run("10T07:30:00")), wait("10T13:30:00")],
    );
}

#[test]
fn a_run_that_is_due_while_another_lasts_goes_by_the_policy() {
    let hourly = |overlap| Plan {
        overlap,
        ..plan("0 * * * *")
    };
    let started = |overlap| {
        let mut planner = planner(hourly(overlap));
        check(
            &mut planner,
            "10T01:00:00",
            &[Step::Start(run("10T01:00:00")), wait("10T02:00:00")],
        );
        planner
    };
    let mut skipping = started(Overlap::Skip);
    let skipped = skip("10T02:00:00", 1, SkipReason::Running);
    check(&mut skipping, "10T02:00:00", &[skipped, wait("10T03:00:00")]);
    skipping.ended();
    check(&mut skipping, "10T02:30:00", &[wait("10T03:00:00")]);

    let mut queueing = started(Overlap::Queue);
    check(
        &mut queueing,
        "10T02:00:00",
        &[Step::Queue(run("10T02:00:00")), wait("10T03:00:00")],
    );
    let skipped = skip("10T03:00:00", 1, SkipReason::Waiting);
    check(&mut queueing, "10T03:00:00", &[skipped, wait("10T04:00:00")]);
    queueing.ended();
    check(
        &mut queueing,
        "10T03:30:00",
        &[Step::Start(run("10T02:00:00")), wait("10T04:00:00")],
    );
    assert!(queueing.is_running());

    let mut cancelling = started(Overlap::Cancel);
    check(
        &mut cancelling,
        "10T02:00:00",
        &[Step::Cancel(run("10T02:00:00")), wait("10T03:00:00")],
    );
    // It is deaf to that: it is not cancelled twice, and the newest run takes the place of the one that waits.
    let replaced = skip("10T02:00:00", 1, SkipReason::Replaced);
    check(&mut cancelling, "10T03:00:00", &[replaced, wait("10T04:00:00")]);
    cancelling.ended();
    check(
        &mut cancelling,
        "10T03:00:05",
        &[Step::Start(run("10T03:00:00")), wait("10T04:00:00")],
    );
}

#[test]
fn missed_runs_are_left_out_made_up_for_once_or_made_up_for_each() {
    let after_a_nap = |catch_up, schedule| {
        planner(Plan {
            catch_up,
            ..plan(schedule)
        })
    };
    let missed = skip("10T04:00:00", 4, SkipReason::Missed);
    let mut none = after_a_nap(CatchUp::None, "0 * * * *");
    check(&mut none, "10T04:30:00", &[missed, wait("10T05:00:00")]);

    let mut once = after_a_nap(CatchUp::Once, "0 * * * *");
    check(
        &mut once,
        "10T04:30:00",
        &[Step::Start(late("10T04:00:00", 3)), wait("10T05:00:00")],
    );

    // Back in time for the last one: it is not late, and stands for the others.
    for catch_up in [CatchUp::None, CatchUp::Once] {
        let on_time = Run {
            missed: 3,
            ..run("10T04:00:00")
        };
        let mut planner = after_a_nap(catch_up, "0 * * * *");
        check(
            &mut planner,
            "10T04:00:30",
            &[Step::Start(on_time), wait("10T05:00:00")],
        );
    }

    let mut all = after_a_nap(CatchUp::All, "0 * * * *");
    for hour in 1..=3 {
        let due = format!("10T0{hour}:00:00");
        check(
            &mut all,
            "10T04:00:30",
            &[
                Step::Start(late(&due, 0)),
                if hour == 3 {
                    skip("10T04:00:00", 1, SkipReason::Running)
                } else {
                    Step::Wait(None)
                },
            ][..]
                .iter()
                .copied()
                .chain((hour == 3).then_some(wait("10T05:00:00")))
                .collect::<Vec<_>>(),
        );
        all.ended();
    }
}

#[test]
fn what_is_made_up_for_has_a_bound() {
    let mut all = planner(Plan {
        catch_up: CatchUp::All,
        ..plan("*/5 * * * *")
    });
    // A day has 288 of them.
    let now = at("11T00:02:00");
    let mut starts = 0;
    let first = steps(&mut all, now);
    assert_eq!(first[0], skip("10T15:40:00", 188, SkipReason::Missed));
    assert_eq!(first[1], Step::Start(late("10T15:45:00", 0)));
    while all.is_running() {
        starts += 1;
        all.ended();
        let _ = steps(&mut all, now);
    }
    assert_eq!((starts, all.handled_until()), (CatchUp::MOST, at("11T00:00:00")));
}

#[test]
fn a_late_interval_counts_on_from_its_start() {
    let mut planner = planner(plan("every 6h"));
    check(
        &mut planner,
        "10T11:50:00",
        &[Step::Start(late("10T06:00:00", 0)), wait("10T17:50:00")],
    );
    // On time it keeps to its grid, however late the timer was.
    planner.ended();
    check(
        &mut planner,
        "10T17:50:20",
        &[Step::Start(run("10T17:50:00")), wait("10T23:50:00")],
    );
}

#[test]
fn a_reload_starves_nothing() {
    let mut planner = planner(plan("every 1h"));
    // Reloaded each minute, with or without a change: due still counts from the last run.
    for minute in 0..60 {
        let every = if minute % 2 == 0 { "every 1h" } else { "every 60m" };
        planner.set_plan(plan(every));
        let now = at("10T00:00:00") + TimeDelta::minutes(minute);
        assert_eq!(planner.next_step(now), wait("10T01:00:00"));
    }
    check(
        &mut planner,
        "10T01:00:00",
        &[Step::Start(run("10T01:00:00")), wait("10T02:00:00")],
    );
}

#[test]
fn a_changed_schedule_counts_from_the_last_run_and_has_missed_nothing() {
    let all = |schedule| Plan {
        catch_up: CatchUp::All,
        ..plan(schedule)
    };
    // Every 12 hours becomes every hour, when the last run was seven hours ago: it is overdue, once.
    let mut planner = planner(all("every 12h"));
    check(&mut planner, "10T07:00:00", &[wait("10T12:00:00")]);
    planner.set_plan(all("every 1h"));
    check(
        &mut planner,
        "10T07:00:00",
        &[Step::Start(run("10T07:00:00")), wait("10T08:00:00")],
    );
    planner.ended();
    // To times of day: of those since the last run, one is made up for, and not each.
    planner.set_plan(all("0,20,40 7-23 * * *"));
    check(
        &mut planner,
        "10T09:30:00",
        &[Step::Start(late("10T09:20:00", 0)), wait("10T09:40:00")],
    );
    planner.ended();
    // What the new schedule misses from then on is missed.
    assert_eq!(
        planner.next_step(at("10T10:10:00")),
        Step::Start(late("10T09:40:00", 0))
    );
    planner.ended();
    // Who makes up for nothing gets nothing that lies behind, and is told of nothing missed.
    let none = |schedule| Plan {
        catch_up: CatchUp::None,
        ..plan(schedule)
    };
    planner.set_plan(none("0 9-10 * * *"));
    check(&mut planner, "10T12:00:00", &[wait("11T09:00:00")]);
}

#[test]
fn a_new_plan_that_is_not_overdue_is_kept_as_usual() {
    let mut planner = planner(plan("every 12h"));
    planner.set_plan(plan("every 1h"));
    check(&mut planner, "10T00:30:00", &[wait("10T01:00:00")]);
    check(
        &mut planner,
        "10T03:30:00",
        &[Step::Start(late("10T03:00:00", 2)), wait("10T04:30:00")],
    );
}

#[test]
fn a_request_goes_by_the_policy_and_an_interval_counts_on_from_it() {
    let mut planner = planner(Plan {
        overlap: Overlap::Queue,
        ..plan("every 6h")
    });
    assert_eq!(planner.request(at("10T01:00:00")), Step::Start(run("10T01:00:00")));
    assert_eq!(planner.request(at("10T02:00:00")), Step::Queue(run("10T02:00:00")));
    assert_eq!(
        planner.request(at("10T03:00:00")),
        skip("10T03:00:00", 1, SkipReason::Waiting)
    );
    planner.ended();
    check(
        &mut planner,
        "10T03:30:00",
        &[Step::Start(run("10T02:00:00")), wait("10T09:00:00")],
    );
}

#[test]
fn jitter_puts_a_run_off_and_never_to_the_next() {
    let most = Duration::from_secs(7200);
    let mut offsets = BTreeSet::new();
    for key in 0..50 {
        let mut planner = planner(Plan {
            jitter: Jitter::up_to(most),
            key,
            ..plan("0 * * * *")
        });
        let Step::Wait(Some(start)) = planner.next_step(at("10T00:00:00")) else {
            panic!()
        };
        let offset = start - at("10T01:00:00");
        assert!((TimeDelta::zero()..TimeDelta::hours(1)).contains(&offset), "{offset}");
        offsets.insert(offset);
        assert_eq!(
            planner.next_step(start - TimeDelta::nanoseconds(1)),
            Step::Wait(Some(start))
        );
        assert_eq!(planner.next_step(start), Step::Start(run("10T01:00:00")));
    }
    assert_eq!(offsets.len(), 50, "no two hosts at once");
}

#[test]
fn what_never_comes_waits_for_a_change() {
    let mut planner = planner(plan("0 0 31 2 *"));
    assert_eq!(planner.next_step(at("10T00:00:00")), Step::Wait(None));
    planner.set_plan(plan("0 0 31 * *"));
    assert_eq!(planner.next_step(at("10T00:00:00")), wait("31T00:00:00"));
}

#[test]
fn a_clock_set_far_forward_starts_no_storm_and_set_back_no_standstill() {
    for (schedule, next) in [
        ("0 3 * * *", "11T03:00:00"),
        ("*/5 * * * *", "10T12:05:00"),
        ("every 6h", "10T18:00:00"),
    ] {
        for (catch_up, most) in [(CatchUp::None, 0), (CatchUp::Once, 1), (CatchUp::All, 1)] {
            let mut planner = planner(Plan {
                catch_up,
                ..plan(schedule)
            });
            let steps = steps(&mut planner, "2095-06-01T12:02:00Z".parse().unwrap());
            let starts = steps.iter().filter(|step| matches!(step, Step::Start(_))).count();
            assert_eq!(starts, most, "{schedule} {catch_up:?}: {steps:?}");
            // The clock is put right, and the job has not to wait for 2095.
            planner.ended();
            assert_eq!(
                planner.next_step(at("10T12:00:00")),
                wait(next),
                "{schedule} {catch_up:?}"
            );
        }
    }
    // Neither does a stored instant from such a time silence a job after a restart.
    let future = Some("2095-01-01T00:00:00Z".parse().unwrap());
    let mut planner = Planner::new(plan("0 3 * * *"), future, at("10T00:00:00"));
    check(&mut planner, "10T00:00:00", &[wait("10T03:00:00")]);
}

#[test]
fn a_clock_set_back_by_little_doubles_nothing() {
    let mut daily = planner(plan("0 3 * * *"));
    check(
        &mut daily,
        "10T03:00:00",
        &[Step::Start(run("10T03:00:00")), wait("11T03:00:00")],
    );
    daily.ended();
    check(&mut daily, "10T01:00:00", &[wait("11T03:00:00")]);
    check(&mut daily, "10T03:00:00", &[wait("11T03:00:00")]);
    // By more than a correction: it is another time, and what is due in it is due.
    check(&mut daily, "09T23:00:00", &[wait("10T03:00:00")]);

    let mut frequent = planner(plan("*/5 * * * *"));
    check(
        &mut frequent,
        "10T00:05:00",
        &[Step::Start(run("10T00:05:00")), wait("10T00:10:00")],
    );
    frequent.ended();
    check(&mut frequent, "10T00:04:59", &[wait("10T00:10:00")]);
    // By more than an interval: it would stand still for too long.
    check(&mut frequent, "09T23:58:00", &[wait("10T00:00:00")]);
}
