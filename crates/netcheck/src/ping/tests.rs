//! The engine without a socket or a clock: what arrives is written here, and time is what is said.
use super::{
    clock::Now,
    core::{Core, Due},
    options::PingOptions,
    pinging::{Pinging, ask},
    report::{Outcome, PingReport},
    run::Run,
};
use crate::{
    Doubt, FailureKind,
    errqueue::Queued,
    icmp::{Access, Packet, Reason, Tokens},
    socket::{Arrived, Carrier, inbox::Said},
};
use std::{hash::RandomState, net::IpAddr, time::Duration};

mod datagrams;
mod endless;

const MS: u64 = 1_000_000;
const WALL: u64 = 1_700_000_000_000_000_000;

/// One run under way, and what was sent.
struct Rig {
    core: Core,
    report: Pinging,
    /// Each packet that was sent, from its ICMP header on.
    packets: Vec<Vec<u8>>,
}

fn at(millis: u64) -> Now {
    Now {
        steady: millis * MS,
        wall: WALL + millis * MS,
    }
}

fn target() -> IpAddr {
    "192.0.2.9".parse().unwrap()
}

fn router() -> IpAddr {
    "192.0.2.254".parse().unwrap()
}

impl Rig {
    /// Sends a probe each ten milliseconds from zero on; an answer may take a hundred.
    fn new(count: u32) -> Self {
        let mut rig = Self::begun(count);
        (0..u64::from(count)).for_each(|_| rig.send());
        assert!(
            rig.take_due(u64::from(count) * 10).is_none(),
            "more was sent than was asked for"
        );
        rig
    }

    /// The same, with nothing sent yet.
    fn begun(count: u32) -> Self {
        let tokens = Tokens::new(*b"test", RandomState::new());
        let mut core = Core::new(tokens, 0x4242, [Some(Access::Raw); 2]);
        core.history.knows_drops = true;
        let options = PingOptions {
            count,
            interval: Duration::from_millis(10),
            timeout: Duration::from_millis(100),
            ..PingOptions::default()
        };
        let (asked, report) = ask(Run::new(target(), Carrier::Echo, 0, options, None));
        core.begin(asked, at(0));
        Self {
            core,
            report,
            packets: Vec::new(),
        }
    }

    /// Sends the next probe, when it is due.
    fn send(&mut self) {
        let now = self.packets.len() as u64 * 10;
        let (due, packet) = self.take_due(now).unwrap();
        self.core.sent(due, at(now));
        self.packets.push(packet);
    }

    fn take_due(&mut self, millis: u64) -> Option<(Due, Vec<u8>)> {
        let mut packet = Vec::new();
        let (due, sending) = self.core.take_due(millis * MS, &mut packet)?;
        assert_eq!(sending.to, target());
        Some((due, packet))
    }

    /// The answer to a probe, stamped then.
    fn answer(&mut self, probe: usize, millis: u64) {
        let mut message = self.packets[probe].clone();
        message[0] = 0;
        self.arrive(&message, target(), millis, millis);
    }

    fn arrive(&mut self, message: &[u8], from: IpAddr, stamp: u64, read: u64) {
        let arrived = Arrived {
            packet: Packet::of_message(message),
            from: Some(from),
            stamp: Some(WALL + stamp * MS),
            error: None,
        };
        self.core.arrived(&arrived, false, read * MS);
    }

    fn end(&mut self, millis: u64) {
        self.core.end(millis * MS);
    }

    fn report(mut self) -> PingReport {
        self.core.tell();
        self.report.now().expect("the run is over")
    }

    fn is_over(&mut self) -> bool {
        self.core.tell();
        self.report.now().is_some()
    }
}

#[test]
fn answers_late_twice_and_out_of_order_are_told_apart() {
    let mut rig = Rig::new(4);
    rig.answer(0, 5);
    rig.answer(2, 26);
    rig.answer(1, 28);
    rig.answer(1, 29);
    rig.end(130);
    let late = [&[0][..], &rig.packets[3][1..]].concat();
    rig.core.tell();
    let mut report = rig.report.now().unwrap();
    assert_eq!(
        (report.answered, report.lost, report.duplicates, report.reordered),
        (3, 1, 1, 1)
    );
    assert_eq!(report.samples.pop().unwrap().outcome, Outcome::Lost);
    let times: Vec<_> = report
        .samples
        .iter()
        .map(|sample| sample.rtt().unwrap().as_millis())
        .collect();
    assert_eq!(times, [5, 18, 6]);
    // What comes when the run is over is counted, and nobody's.
    let arrived = Arrived {
        packet: Packet::of_message(&late),
        from: Some(target()),
        stamp: None,
        error: None,
    };
    rig.core.arrived(&arrived, false, 200 * MS);
    assert_eq!((rig.core.counters.late, rig.core.counters.forged), (1, 0));
}

#[test]
fn an_answer_that_was_stamped_in_time_counts_though_it_is_read_late() {
    let mut rig = Rig::new(1);
    let mut message = rig.packets[0].clone();
    message[0] = 0;
    // The process was stopped meanwhile.
    rig.arrive(&message, target(), 30, 1500);
    rig.end(1500);
    let report = rig.report();
    assert_eq!((report.answered, report.lost), (1, 0));
    assert_eq!(report.times.unwrap().max, Duration::from_millis(30));
}

#[test]
fn an_answer_after_its_time_is_late_and_the_probe_is_lost() {
    let mut rig = Rig::new(1);
    rig.answer(0, 101);
    let report = rig.report();
    assert_eq!((report.answered, report.lost, report.late), (0, 1, 1));
    assert_eq!(report.failure.unwrap().kind, FailureKind::TimedOut);
}

#[test]
fn what_hostile_replies_say_changes_nothing_but_a_counter() {
    let mut rig = Rig::new(1);
    let genuine = [&[0][..], &rig.packets[0][1..]].concat();
    for bit in 8 * 8..(8 + 20) * 8 {
        let mut forged = genuine.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        rig.arrive(&forged, target(), 1, 1);
    }
    for length in 0..28 {
        rig.arrive(&genuine[..length], target(), 1, 1);
    }
    // The bits of the magic and the short ones are nobody's packets; the others claim to be ours.
    let counters = rig.core.counters;
    assert_eq!((counters.malformed, counters.forged), (32 + 28, 128));
    rig.arrive(&genuine, router(), 1, 1);
    assert!(!rig.is_over(), "somebody answered for the target");
    rig.answer(0, 2);
    let report = rig.report();
    assert_eq!((report.answered, report.foreign, report.duplicates), (1, 1, 0));
}

#[test]
fn a_router_s_word_ends_a_probe_whether_it_quotes_much_or_little() {
    let mut rig = Rig::new(2);
    let error = |packet: &[u8]| {
        let mut message = vec![3, 1, 0, 0, 0, 0, 0, 0];
        message.extend([0x45, 0, 0, 84, 0, 0, 0, 0, 63, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9]);
        message.extend(packet);
        message
    };
    let (much, little) = (error(&rig.packets[0]), error(&rig.packets[1][..8]));
    // One about another's ping, with another identifier.
    let mut other = little.clone();
    other[32] ^= 1;
    rig.arrive(&other, router(), 12, 12);
    rig.arrive(&much, router(), 12, 12);
    assert!(!rig.is_over());
    rig.arrive(&little, router(), 14, 14);
    let report = rig.report();
    // Sent 0 and 10 ms after the start.
    for (sample, took) in report.samples.iter().zip([12, 4]) {
        let expected = Outcome::Unreachable {
            by: router(),
            reason: Reason::HostUnreachable,
            rtt: Duration::from_millis(took),
            mpls: Vec::new(),
        };
        assert_eq!(sample.outcome, expected);
    }
    assert_eq!(
        (report.lost, report.failure.unwrap().kind),
        (2, FailureKind::Unreachable)
    );
}

#[test]
fn what_the_queue_of_a_datagram_socket_says_ends_a_probe_too() {
    let mut rig = Rig::new(1);
    let sent = rig.packets[0].clone();
    let arrived = Arrived {
        packet: Packet::of_message(&sent),
        from: Some(router()),
        stamp: None,
        error: Some(Said {
            queued: Queued {
                by: Some(router()),
                kind: 3,
                code: 4,
                info: 1300,
            },
            destination: Some(target()),
        }),
    };
    rig.core.arrived(&arrived, false, 5 * MS);
    let failure = rig.report().failure.unwrap();
    assert_eq!(failure.kind, FailureKind::TooLarge);
    assert!(failure.detail.contains("1300 bytes would pass"), "{failure}");
}

#[test]
fn loss_while_this_machine_dropped_packets_or_stood_still_is_of_unknown_cause() {
    let mut rig = Rig::new(3);
    rig.answer(0, 1);
    rig.core.history.dropped(15 * MS, 18 * MS, 7);
    rig.end(130);
    let report = rig.report();
    assert_eq!((report.answered, report.unknown, report.lost), (1, 1, 1));
    let doubt = Doubt::Dropped;
    assert_eq!(report.samples[1].outcome, Outcome::Unknown { doubt });
    assert_eq!(report.samples[2].outcome, Outcome::Lost, "it was sent afterwards");
    assert_eq!((report.trust.dropped, report.loss), (Some(7), Some(0.5)));
    assert_eq!(report.trust.doubts().collect::<Vec<_>>(), [Doubt::Dropped]);

    let mut rig = Rig::new(1);
    rig.core.history.stalled(0, 1000 * MS);
    rig.end(1000);
    let report = rig.report();
    assert_eq!((report.unknown, report.lost, report.loss), (1, 0, None));
    assert_eq!(report.trust.stall, Duration::from_secs(1));
}

#[test]
fn times_are_right_though_the_clock_is_set_while_an_answer_is_under_way() {
    let mut rig = Rig::new(2);
    let message = |rig: &Rig, probe: usize| [&[0][..], &rig.packets[probe][1..]].concat();
    // Set an hour forward, and back: by the stamp it took an hour, or less than nothing.
    let (first, second) = (message(&rig, 0), message(&rig, 1));
    rig.arrive(&first, target(), 3_600_000, 7);
    let arrived = Arrived {
        packet: Packet::of_message(&second),
        from: Some(target()),
        stamp: Some(WALL - MS),
        error: None,
    };
    rig.core.arrived(&arrived, false, 19 * MS);
    rig.core.history.stepped(8 * MS, Duration::from_secs(3600));
    let report = rig.report();
    let times: Vec<_> = report
        .samples
        .iter()
        .map(|sample| sample.rtt().unwrap().as_millis())
        .collect();
    assert_eq!(times, [7, 9]);
    assert_eq!((report.lost, report.trust.clock_step), (0, Duration::from_secs(3600)));
}

#[test]
fn slips_do_not_add_up_and_the_worst_is_told() {
    let mut core = Core::new(Tokens::new(*b"test", RandomState::new()), 1, [Some(Access::Raw); 2]);
    let options = PingOptions {
        count: 3,
        interval: Duration::from_millis(10),
        delay: Duration::from_millis(3),
        ..PingOptions::default()
    };
    let address = "2001:db8::1".parse().unwrap();
    let (asked, report) = ask(Run::new(address, Carrier::Echo, 0, options, None));
    core.begin(asked, at(0));
    let mut packet = Vec::new();
    assert!(core.take_due(2 * MS, &mut packet).is_none(), "it waits at first");
    let mut sent = Vec::new();
    for millis in [5, 13, 24] {
        assert!(core.next_due().is_some_and(|due| due <= millis * MS));
        let (due, _) = core.take_due(millis * MS, &mut packet).unwrap();
        assert_eq!(packet[..2], [128, 0]);
        core.sent(due, at(millis));
        sent.push(millis);
        assert!(core.take_due(millis * MS, &mut packet).is_none());
    }
    core.end(2000 * MS);
    core.tell();
    let report = report.wait();
    assert_eq!(report.trust.slip, Duration::from_millis(2));
    assert_eq!(report.samples[2].sent, Duration::from_millis(24));
}
