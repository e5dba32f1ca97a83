//! The link does what it is told, and says what it did.
use super::{network, receive, round_trip, socket};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use testkit::eventually;
use testkit::net::{Burst, DirectionCounts, LinkSettings, Topology, address};

const PACKETS: u32 = 500;

/// Sends numbered packets from A to B, and returns the numbers that B got, as they came, and what the link says of them.
fn send_500(network: &Topology, settings: LinkSettings) -> (Vec<u32>, DirectionCounts) {
    let a = socket(network.a(), address::A.v4.into());
    let b = socket(network.b(), address::B.v4.into());
    let target = b.local_addr().unwrap();
    network.link_each(settings, LinkSettings::default());
    for number in 0..PACKETS {
        a.send_to(&number.to_be_bytes(), target).unwrap();
    }
    let counts = eventually("packet under way at its end", || {
        let counts = network.counts().toward_b;
        Ok((counts.received == u64::from(PACKETS) && counts.under_way == 0).then_some(counts))
    });
    // The one that says that there are no more is not to be lost.
    network.link(LinkSettings::default());
    a.send_to(b"end", target).unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 64];
    loop {
        let (size, _) = receive(&b, &mut buffer);
        let Ok(number) = buffer[..size].try_into() else {
            return (got, counts.unwrap());
        };
        got.push(u32::from_be_bytes(number));
    }
}

/// How often so many numbers in a row are missing.
fn runs_of_missing(got: &[u32]) -> BTreeMap<u64, u64> {
    let got: BTreeSet<u32> = got.iter().copied().collect();
    let mut runs = BTreeMap::new();
    let mut run = 0;
    for number in 0..=PACKETS {
        if number < PACKETS && !got.contains(&number) {
            run += 1;
        } else if run > 0 {
            *runs.entry(run).or_default() += 1;
            run = 0;
        }
    }
    runs
}

#[test]
fn lost_and_doubled_packets_are_those_that_the_link_counts() {
    let Some(network) = network() else { return };
    let settings = LinkSettings {
        loss: 0.2,
        duplication: 0.1,
        ..LinkSettings::default()
    };
    let (got, counts) = send_500(&network, settings);
    let different: BTreeSet<_> = got.iter().collect();
    assert_eq!(different.len() as u64, counts.delivered);
    assert_eq!((got.len() - different.len()) as u64, counts.duplicated);
    assert_eq!(counts.delivered + counts.lost, u64::from(PACKETS));
    assert_eq!(runs_of_missing(&got), counts.loss_runs);
    assert!((60..140).contains(&counts.lost), "{} of 500 at 0.2", counts.lost);
    assert!(
        (20..70).contains(&counts.duplicated),
        "{} of 400 at 0.1",
        counts.duplicated
    );
    assert_eq!(counts.reordered, 0);
}

#[test]
fn bursts_of_losses_are_as_long_as_the_link_says() {
    let Some(network) = network() else { return };
    let burst = Some(Burst {
        enter: 0.02,
        mean_length: 8.0,
    });
    let settings = LinkSettings {
        burst,
        ..LinkSettings::default()
    };
    let (got, counts) = send_500(&network, settings);
    assert_eq!(runs_of_missing(&got), counts.loss_runs);
    assert_eq!(counts.loss_runs.values().sum::<u64>(), counts.bursts);
    assert_eq!(counts.lost_in_bursts, counts.dropped());
    let mean = counts.lost_in_bursts as f64 / counts.bursts as f64;
    assert!(
        (4.0..16.0).contains(&mean),
        "bursts of {mean} packets: {:?}",
        counts.loss_runs
    );
}

#[test]
fn packets_come_in_another_order_as_often_as_the_link_counts() {
    let Some(network) = network() else { return };
    let settings = LinkSettings {
        delay: Duration::from_millis(20),
        reordering: 0.05,
        ..LinkSettings::default()
    };
    let (got, counts) = send_500(&network, settings);
    assert_eq!(got.len(), PACKETS as usize);
    let mut latest = 0;
    let mut reordered = 0;
    for number in got {
        reordered += u64::from(number < latest);
        latest = latest.max(number);
    }
    assert!(counts.hurried > 0 && reordered > 0);
    assert_eq!(reordered, counts.reordered);
}

#[test]
fn the_same_packets_are_lost_again_from_the_same_seed() {
    let Some(network) = network() else { return };
    let settings = LinkSettings {
        loss: 0.3,
        ..LinkSettings::default()
    };
    let (first, _) = send_500(&network, settings);
    let (second, _) = send_500(&network, settings);
    assert_eq!(first, second);
    assert!(first.len() < PACKETS as usize);
}

#[test]
fn every_packet_is_held_for_the_delay_and_no_packet_for_less() {
    let Some(network) = network() else { return };
    let (delay, jitter) = (Duration::from_micros(3_000), Duration::from_micros(500));
    network.link(LinkSettings {
        delay,
        jitter,
        ..LinkSettings::default()
    });
    let a = socket(network.a(), address::A.v6.into());
    let b = socket(network.b(), address::B.v6.into());
    let mut times: Vec<_> = (0..51).map(|_| round_trip(&a, &b, 100)).collect();
    times.sort();
    let counts = network.counts();
    for counts in [&counts.toward_a, &counts.toward_b] {
        assert_eq!(counts.delivered, 51);
        assert!(counts.held.min >= delay - jitter, "{:?}", counts.held);
        assert!(
            counts.held.max >= delay && counts.held.min < counts.held.max,
            "{:?}",
            counts.held
        );
    }
    // What the hosts see is what the link did, and what it takes to get there.
    assert!(times[0] >= counts.toward_a.held.min + counts.toward_b.held.min);
    assert!(times.iter().sum::<Duration>() >= counts.toward_a.held.total + counts.toward_b.held.total);
    assert!(times[25] >= 2 * (delay - jitter), "median {:?}", times[25]);
}

#[test]
fn a_link_that_is_cut_passes_nothing_until_it_is_mended() {
    let Some(network) = network() else { return };
    let a = socket(network.a(), address::A.v4.into());
    let b = socket(network.b(), address::B.v4.into());
    network.cut(true);
    a.send_to(b"lost", b.local_addr().unwrap()).unwrap();
    eventually("packet at the link", || {
        Ok((network.counts().toward_b.cut == 1).then_some(()))
    })
    .unwrap();
    network.cut(false);
    round_trip(&a, &b, 100);
    let counts = network.counts().toward_b;
    assert_eq!((counts.received, counts.delivered, counts.loss()), (2, 1, 0.5));
}

#[test]
fn each_direction_fares_for_itself() {
    let Some(network) = network() else { return };
    let lossy = LinkSettings {
        loss: 1.0,
        ..LinkSettings::default()
    };
    network.link_each(LinkSettings::default(), lossy);
    let a = socket(network.a(), address::A.v4.into());
    let b = socket(network.b(), address::B.v4.into());
    a.send_to(b"there", b.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    let (_, from) = receive(&b, &mut buffer);
    b.send_to(b"back", from).unwrap();
    let lost = || Ok((network.counts().toward_a.lost == 1).then_some(()));
    eventually("loss on the way back", lost).unwrap();
    assert_eq!(network.counts().toward_b.dropped(), 0);
}
