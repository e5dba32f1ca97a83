//! Ping on loopback.
use netcheck::{
    FailureKind,
    ping::{ENDLESS, Outcome, PingOptions, PingReport, Pinger, PingerOptions, Pinging, REMEMBERED},
};
use std::{net::IpAddr, sync::mpsc, time::Duration};

/// Many at once, and quickly.
const BRISK: PingOptions = PingOptions {
    count: 3,
    interval: Duration::from_millis(5),
    timeout: Duration::from_secs(20),
    size: 56,
    ttl: None,
    dont_fragment: false,
    class: 0,
    delay: Duration::ZERO,
};

fn pinger() -> Option<Pinger> {
    Pinger::start(PingerOptions::default())
        .inspect_err(|failure| eprintln!("skipped: {failure}"))
        .ok()
}

fn loopback(n: u32) -> IpAddr {
    IpAddr::from((0x7f01_0001 + n).to_be_bytes())
}

#[test]
fn thousands_of_targets_at_once_are_all_answered_and_each_by_itself() {
    let Some(pinger) = pinger() else { return };
    let under_way: Vec<Pinging> = (0..5000).map(|n| pinger.ping(loopback(n), BRISK)).collect();
    let reports: Vec<PingReport> = under_way.into_iter().map(Pinging::wait).collect();
    for (n, report) in (0..).zip(&reports) {
        assert_eq!(report.address, loopback(n));
        assert_eq!(
            (report.sent, report.answered, report.duplicates),
            (3, 3, 0),
            "{report:?}"
        );
        let times = report.times.unwrap();
        assert!(times.min > Duration::ZERO && times.max < BRISK.timeout, "{times:?}");
        assert_eq!(report.trust.dropped, Some(0), "{report:?}");
    }
    let counters = pinger.counters();
    assert_eq!((counters.late, counters.forged), (0, 0), "{counters:?}");
}

#[test]
fn targets_of_both_families_are_answered_beside_each_other_and_tell_what_is_left_to_live() {
    let Some(pinger) = pinger() else { return };
    let under_way = ["127.0.0.1", "::1", "127.0.0.2"].map(|target| pinger.ping(target.parse().unwrap(), BRISK));
    for report in under_way.map(Pinging::wait) {
        assert_eq!((report.answered, &report.failure), (3, &None));
        for sample in &report.samples {
            assert!(
                matches!(sample.outcome, Outcome::Answered { ttl: Some(64), .. }),
                "{report:?}"
            );
        }
    }
}

#[test]
fn each_probe_is_told_as_soon_as_its_fate_is_known() {
    let Some(pinger) = pinger() else { return };
    let (told, heard) = mpsc::channel();
    let under_way = pinger.watch(loopback(1), BRISK, move |sample| told.send(sample.clone()).unwrap());
    let first = heard.recv_timeout(testkit::GUARD).unwrap();
    assert_eq!(first.number, 0);
    let report = under_way.wait();
    let rest: Vec<_> = heard.iter().collect();
    assert_eq!([vec![first], rest].concat(), report.samples);
}

#[test]
fn a_run_that_nobody_waits_for_ends() {
    let Some(pinger) = pinger() else { return };
    let (told, heard) = mpsc::channel();
    let endless = PingOptions {
        count: 1_000_000,
        interval: Duration::from_millis(1),
        ..BRISK
    };
    let under_way = pinger.watch(loopback(2), endless, move |sample| {
        let _heard = told.send(sample.number);
    });
    heard.recv_timeout(testkit::GUARD).unwrap();
    drop(under_way);
    // The closure goes with the run.
    while heard.recv_timeout(testkit::GUARD).is_ok() {}
    assert_eq!(heard.recv(), Err(mpsc::RecvError));
}

#[test]
fn packets_of_any_size_come_back_and_one_that_may_not_be_split_is_refused_here() {
    let Some(pinger) = pinger() else { return };
    let of = |size, dont_fragment| {
        let options = PingOptions {
            count: 1,
            size,
            dont_fragment,
            ..BRISK
        };
        pinger.ping(loopback(3), options).wait()
    };
    for size in [20, 57, 1472, 65_507] {
        assert_eq!(of(size, false).answered, 1, "{size}");
    }
    assert_eq!(of(1472, true).answered, 1);
    // Loopback carries 65,536 bytes at once; no IPv4 packet is longer than 65,535.
    assert_eq!(of(19, false).failure.unwrap().kind, FailureKind::Invalid);
}

#[test]
fn what_this_machine_cannot_send_is_not_sent_and_no_loss() {
    let Some(pinger) = pinger() else { return };
    // The broadcast address of a network wants a right that pings do not ask for.
    let report = pinger.ping("127.255.255.255".parse().unwrap(), BRISK).wait();
    assert_eq!((report.sent, report.lost, report.loss), (0, 0, None), "{report:?}");
    assert!(matches!(report.samples[0].outcome, Outcome::Unsent { .. }));
    assert_eq!(report.failure.unwrap().kind, FailureKind::NoRoute);
}

#[test]
fn what_is_no_single_host_is_not_pinged() {
    let Some(pinger) = pinger() else { return };
    for address in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"] {
        let report = pinger.ping(address.parse().unwrap(), BRISK).wait();
        assert_eq!((report.sent, report.samples.len()), (0, 0), "{address}");
        assert_eq!(report.failure.unwrap().kind, FailureKind::Invalid, "{address}");
    }
}

#[test]
fn a_run_without_an_end_ends_when_it_is_wound_down_with_a_report_of_all_that_it_sent() {
    let Some(pinger) = pinger() else { return };
    let (told, heard) = mpsc::channel();
    let endless = PingOptions {
        count: ENDLESS,
        interval: Duration::from_millis(1),
        ..BRISK
    };
    let under_way = pinger.watch(loopback(4), endless, move |sample| {
        let _heard = told.send(sample.number);
    });
    let most = 2 * REMEMBERED as u32;
    while heard.recv_timeout(testkit::GUARD).unwrap() < most {}
    pinger.wind_down();
    let report = under_way.wait();
    assert!(report.sent > most && report.answered == report.sent, "{report:?}");
    assert!(report.samples.len() < report.sent as usize, "{report:?}");
    assert_eq!(report.samples.last().unwrap().number + 1, report.sent);
}
