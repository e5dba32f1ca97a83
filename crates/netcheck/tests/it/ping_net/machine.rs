//! What this machine itself does to a measurement.
use super::{
    BRISK,
    datagram::{open_network, pinger_without_rights},
    network, pinger,
};
use netcheck::{
    Doubt,
    ping::{Outcome, PingOptions, Pinger, PingerOptions, Sample},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::mpsc,
    time::Duration,
};
use testkit::net::{LinkSettings, address};

const MS: Duration = Duration::from_millis(1);

/// Room for some answers.
const NARROW: PingerOptions = PingerOptions {
    rate: None,
    receive_buffer: 4096,
    source: None,
};

/// As fast as it goes, so that several are answered before the engine reads: how many answers found no room, and how many
/// packets the kernel says it dropped.
fn flood(pinger: &Pinger, target: IpAddr) -> (u64, u64) {
    let options = PingOptions {
        interval: Duration::ZERO,
        timeout: 300 * MS,
        ..BRISK
    };
    let report = pinger.ping(target, options).wait();
    let shown = (report.answered, report.unknown, report.lost, report.trust);
    assert_eq!((report.sent, report.lost), (300, 0), "{shown:?}");
    assert!(report.unknown > 0 && report.answered > 0, "{shown:?}");
    assert_eq!(report.loss, Some(0.0), "{shown:?}");
    assert!(report.trust.doubts().any(|doubt| doubt == Doubt::Dropped), "{shown:?}");
    let doubt = Doubt::Dropped;
    let doubted = report.samples.iter();
    let doubted = doubted.filter(|sample| sample.outcome == Outcome::Unknown { doubt });
    assert_eq!(doubted.count(), report.unknown as usize);
    (report.unknown.into(), report.trust.dropped.unwrap())
}

#[test]
fn answers_that_this_machine_has_no_room_for_are_unknown_and_not_lost() {
    let Some(network) = network() else { return };
    let pinger = network.a().enter(|| Pinger::start(NARROW)).unwrap().unwrap();
    for target in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        let (unknown, dropped) = flood(&pinger, target);
        // A full raw socket also drops what its filter would, such as the requests, which loopback shows it too.
        assert!((unknown..=600).contains(&dropped), "{unknown} {dropped}");
    }
}

#[test]
fn answers_without_room_are_unknown_by_datagram_sockets_too_and_exactly_those_that_were_dropped() {
    let Some(network) = open_network() else { return };
    let pinger = pinger_without_rights(&network, NARROW).unwrap();
    for target in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        let (unknown, dropped) = flood(&pinger, target);
        assert_eq!(unknown, dropped);
    }
}

#[test]
fn an_engine_that_is_kept_from_running_says_so_and_measures_what_came_meanwhile() {
    let Some(network) = network() else { return };
    let stalled = pinger(&network);
    network.link(LinkSettings {
        delay: 30 * MS,
        ..LinkSettings::default()
    });
    let (stall, is_stalled) = mpsc::channel();
    let (release, is_released) = mpsc::channel();
    let see = move |sample: &Sample| {
        if sample.number == 0 {
            stall.send(()).unwrap();
            is_released.recv_timeout(testkit::GUARD).unwrap();
        }
    };
    let options = PingOptions {
        count: 60,
        timeout: 20_000 * MS,
        ..BRISK
    };
    let under_way = stalled.watch(address::B.v4.into(), options, see);
    is_stalled.recv_timeout(testkit::GUARD).unwrap();
    // Another engine is a clock: these take a quarter of a second.
    let clock = PingOptions {
        count: 6,
        interval: 50 * MS,
        ..BRISK
    };
    assert_eq!(pinger(&network).ping(address::A.v4.into(), clock).wait().sent, 6);
    release.send(()).unwrap();
    let report = under_way.wait();
    let trust = report.trust;
    assert_eq!((report.answered, report.lost, report.unknown), (60, 0, 0), "{trust:?}");
    assert!(trust.stall > 200 * MS && trust.slip > 100 * MS, "{trust:?}");
    assert!(trust.doubts().any(|doubt| doubt == Doubt::Stalled), "{trust:?}");
    // They waited in the socket, with the time when they had come.
    let median = report.times.unwrap().median;
    assert!(median >= 60 * MS && median < 100 * MS, "{median:?}");
}
