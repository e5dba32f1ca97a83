//! What the link does to packets: loss, bursts, delay, jitter, copies, order.
use super::{BRISK, network, ping_all, pinger};
use netcheck::{
    FailureKind,
    ping::{PingOptions, PingReport},
};
use std::{net::IpAddr, time::Duration};
use testkit::{
    eventually,
    net::{Burst, DirectionCounts, LinkSettings, address},
};

const MS: Duration = Duration::from_millis(1);

fn lossy(loss: f64) -> LinkSettings {
    LinkSettings {
        loss,
        ..LinkSettings::default()
    }
}

#[test]
fn what_the_link_loses_on_either_way_is_lost_and_nothing_else() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    network.link_each(lossy(0.1), lossy(0.05));
    let reports = ping_all(&pinger, &address::B.both(), BRISK);
    let counts = network.counts();
    assert!(counts.toward_b.lost > 0 && counts.toward_a.lost > 0, "{counts:?}");
    let truth = counts.toward_b.dropped() + counts.toward_a.dropped();
    let of = |part: fn(&PingReport) -> u32| reports.iter().map(part).sum::<u32>();
    assert_eq!(counts.toward_b.received, 600);
    assert_eq!(
        (of(|report| report.sent), of(|report| report.unknown)),
        (600, 0),
        "{counts:?}"
    );
    assert_eq!(u64::from(of(|report| report.lost)), truth, "{counts:?}");
    let loss = reports.iter().map(|report| report.loss.unwrap()).sum::<f64>() / 2.0;
    assert!(
        (loss - truth as f64 / 600.0).abs() < 1e-9,
        "both runs are of the same length: {loss}"
    );
    assert!(reports.iter().all(|report| report.failure.is_none()));
}

#[test]
fn bursts_are_those_that_the_link_made() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    let burst = Some(Burst {
        enter: 0.03,
        mean_length: 4.0,
    });
    for target in address::B.both() {
        let toward_b = LinkSettings {
            burst,
            ..LinkSettings::default()
        };
        network.link_each(toward_b, LinkSettings::default());
        let options = PingOptions {
            interval: MS,
            timeout: 1000 * MS,
            ..BRISK
        };
        let report = pinger.ping(target, options).wait();
        let counts = network.counts();
        let runs = &counts.toward_b.loss_runs;
        let begun: u64 = runs.values().sum();
        let lost: u64 = runs.iter().map(|(length, times)| length * times).sum();
        assert!(begun > 1 && lost > begun, "{counts:?}");
        assert_eq!(
            (report.lost, report.unknown),
            (lost as u32, 0),
            "{counts:?} {:?}",
            report.trust
        );
        assert_eq!(
            (report.bursts.count, report.bursts.longest),
            (begun, counts.toward_b.longest_loss_run())
        );
        assert!((report.bursts.mean - lost as f64 / begun as f64).abs() < 1e-9);
    }
}

/// How long packets of this direction were held on average.
fn mean_held(counts: &DirectionCounts) -> Duration {
    counts.held.total / counts.delivered as u32
}

#[test]
fn the_round_trip_takes_as_long_as_the_link_holds_packets_on_both_ways() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    network.link(LinkSettings {
        delay: 10 * MS,
        ..LinkSettings::default()
    });
    let reports = ping_all(&pinger, &address::B.both(), BRISK);
    let counts = network.counts();
    let held = mean_held(&counts.toward_b) + mean_held(&counts.toward_a);
    for report in &reports {
        assert_eq!(report.answered, 300, "{report:?} {counts:?}");
        let times = report.times.unwrap();
        assert!(times.min >= 20 * MS, "{times:?}");
        // On a busy machine the link holds packets longer than it was told, and says so.
        assert!(times.median < held.max(20 * MS).mul_f64(1.1), "{times:?} {held:?}");
    }
    let mean = reports.iter().map(|report| report.times.unwrap().avg).sum::<Duration>() / 2;
    assert!(mean >= held.mul_f64(0.99), "{mean:?} {held:?}");
}

#[test]
fn jitter_is_how_much_the_delay_differs_from_packet_to_packet() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    let jitter = 4 * MS;
    network.link(LinkSettings {
        delay: 5 * MS,
        jitter,
        ..LinkSettings::default()
    });
    let options = PingOptions { count: 800, ..BRISK };
    let report = pinger.ping(address::B.v4.into(), options).wait();
    assert_eq!(report.answered, 800, "{:?}", network.counts());
    // Two round trips differ by the sum of four even distributions over ±J, which is 14/15 J away from nothing on average.
    let expected = jitter.as_secs_f64() * 14.0 / 15.0;
    let times: Vec<f64> = report
        .samples
        .iter()
        .map(|sample| sample.rtt().unwrap().as_secs_f64())
        .collect();
    let differences = times.windows(2).map(|pair| (pair[0] - pair[1]).abs());
    let mean = differences.sum::<f64>() / 799.0;
    assert!((mean / expected - 1.0).abs() < 0.25, "{mean} {expected}");
    // What is reported weighs some twenty of them, which are one and a half tenths off as a rule.
    let reported = report.jitter.unwrap().as_secs_f64();
    assert!((reported / expected - 1.0).abs() < 0.6, "{reported} {expected}");
}

#[test]
fn answers_that_come_again_are_counted_apart_from_answers() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    network.link(LinkSettings {
        duplication: 0.1,
        ..LinkSettings::default()
    });
    let reports = ping_all(&pinger, &address::B.both(), BRISK);
    let told: u64 = reports.iter().map(|report| report.duplicates).sum();
    for report in &reports {
        assert_eq!((report.answered, report.lost), (300, 0), "{:?}", network.counts());
    }
    // A copy of the last answer comes when its run is over.
    let all_are_told = || {
        let counts = network.counts();
        let copies = (counts.toward_a.delivered + counts.toward_a.duplicated).checked_sub(600);
        Ok((copies == Some(told + pinger.counters().late)).then_some(counts))
    };
    let counts = eventually("account of every copy", all_are_told).unwrap();
    assert!(
        counts.toward_b.duplicated > 0 && counts.toward_a.duplicated > 0,
        "{counts:?}"
    );
    assert!(pinger.counters().late <= 6, "{:?}", pinger.counters());
}

#[test]
fn answers_that_overtake_each_other_on_the_way_back_are_counted_as_the_link_does() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    let toward_a = LinkSettings {
        delay: 10 * MS,
        reordering: 0.05,
        ..LinkSettings::default()
    };
    for target in address::B.both() {
        network.link_each(LinkSettings::default(), toward_a);
        let report = pinger.ping(target, BRISK).wait();
        let truth = network.counts().toward_a;
        assert_eq!((report.answered, report.duplicates), (300, 0), "{truth:?}");
        assert!(report.reordered > 0, "{truth:?}");
        // The kernel has a queue for each processor, in which some change places again.
        assert!(
            report.reordered.abs_diff(truth.reordered) <= 3,
            "{} {truth:?}",
            report.reordered
        );
    }
}

#[test]
fn a_link_that_is_cut_is_silent_and_one_that_is_mended_answers() {
    let Some(network) = network() else { return };
    let pinger = pinger(&network);
    let options = PingOptions {
        count: 20,
        timeout: 300 * MS,
        ..BRISK
    };
    let both: [IpAddr; 2] = address::B.both();
    network.cut(true);
    for report in ping_all(&pinger, &both, options) {
        assert_eq!(
            (report.sent, report.lost, report.loss),
            (20, 20, Some(1.0)),
            "{report:?}"
        );
        let failure = report.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::TimedOut);
        assert!(failure.detail.contains(&report.address.to_string()), "{failure}");
        assert_eq!(
            (report.bursts.count, report.bursts.longest, report.quality),
            (1, 20, None)
        );
    }
    assert_eq!(network.counts().toward_b.cut, 40);
    network.cut(false);
    for report in ping_all(&pinger, &both, BRISK) {
        assert_eq!((report.answered, report.failure), (300, None));
    }
}
