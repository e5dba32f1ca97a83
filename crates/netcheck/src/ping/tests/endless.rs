//! Runs without an end, and how they end all the same.
use super::*;
use crate::ping::options::{ENDLESS, REMEMBERED};

/// Of 250 probes each seventh is lost, and the others take from one to five milliseconds.
fn report_of_250(mut rig: Rig) -> PingReport {
    for n in 0..250 {
        rig.send();
        if n % 7 != 3 {
            rig.answer(n, n as u64 * 10 + 1 + n as u64 % 5);
        }
        rig.end(n as u64 * 10 + 5);
    }
    // What comes of a probe that is forgotten changes nothing.
    rig.answer(0, 2500);
    rig.core.wind_down();
    rig.end(2600);
    rig.report()
}

#[test]
fn a_run_without_an_end_forgets_single_probes_and_none_of_the_sums() {
    let (whole, endless) = (report_of_250(Rig::begun(250)), report_of_250(Rig::begun(ENDLESS)));
    assert_eq!((whole.samples.len(), whole.lost, whole.duplicates), (250, 36, 1));
    // What was still under way when the last was sent is remembered besides.
    let remembered = endless.samples.len();
    assert!((REMEMBERED..REMEMBERED + 10).contains(&remembered), "{remembered}");
    assert_eq!(endless.samples, whole.samples[250 - remembered..]);
    let counts = |report: &PingReport| (report.sent, report.answered, report.lost, report.loss, report.bursts);
    assert_eq!(counts(&endless), counts(&whole));
    let sums = |report: &PingReport| {
        let times = report.times.unwrap();
        (
            times.min,
            times.avg,
            times.max,
            times.stddev,
            report.jitter,
            report.quality,
        )
    };
    assert_eq!(sums(&endless), sums(&whole));
    assert_eq!(endless.times.unwrap().median, Duration::from_millis(3));
}

#[test]
fn who_is_wound_down_sends_no_more_and_waits_for_what_is_under_way() {
    let mut rig = Rig::begun(ENDLESS);
    (0..3).for_each(|_| rig.send());
    rig.answer(0, 21);
    rig.core.wind_down();
    assert!(rig.take_due(30).is_none());
    rig.answer(1, 31);
    assert!(!rig.is_over(), "one is under way");
    rig.end(120);
    let report = rig.report();
    assert_eq!((report.sent, report.answered, report.lost), (3, 2, 1));

    let mut rig = Rig::begun(4);
    rig.core.wind_down();
    let report = rig.report();
    assert_eq!((report.sent, report.loss, report.failure), (0, None, None));
}

#[test]
fn probes_wait_for_others_only_where_no_run_is_brisk() {
    let core = |interval: u64| {
        let mut core = Core::new(Tokens::new(*b"test", RandomState::new()), 1, [Some(Access::Raw); 2]);
        let options = PingOptions {
            count: 1,
            interval: Duration::from_millis(interval),
            ..PingOptions::default()
        };
        let (asked, report) = ask(Run::new(target(), Carrier::Echo, 0, options, None));
        core.begin(asked, at(0));
        (core, report)
    };
    let (calm, _report) = core(10);
    assert!(calm.may_gather());
    let (mut brisk, report) = core(9);
    assert!(!brisk.may_gather());
    drop(report);
    let mut packet = Vec::new();
    assert!(brisk.take_due(0, &mut packet).is_none(), "nobody waits for it");
    assert!(brisk.may_gather(), "it is over");
}
