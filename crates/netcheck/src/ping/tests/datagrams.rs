//! Probes by UDP in the engine, without a socket or a clock.
use super::super::{
    clock::Now,
    core::Core,
    options::PingOptions,
    pinging::{Pinging, ask},
    report::{Outcome, PingReport},
    run::Run,
};
use crate::{
    errqueue::Queued,
    icmp::{Access, Packet, Reason, Tokens},
    socket::{Arrived, Carrier, inbox::Said},
};
use std::{hash::RandomState, net::IpAddr, time::Duration};

const MS: u64 = 1_000_000;

fn target() -> IpAddr {
    "192.0.2.9".parse().unwrap()
}

fn router() -> IpAddr {
    "192.0.2.254".parse().unwrap()
}

struct Rig {
    core: Core,
    /// Who waits for which run, and what it sent.
    runs: Vec<(Pinging, Vec<u8>)>,
}

impl Rig {
    /// A probe of each of these flows, sent at once.
    fn new(flows: &[u16]) -> Self {
        let tokens = Tokens::new(*b"test", RandomState::new());
        let mut core = Core::new(tokens, 1, [Some(Access::Raw); 2]);
        let mut runs = Vec::new();
        for flow in flows {
            let (count, timeout) = (1, Duration::from_millis(100));
            let options = PingOptions {
                count,
                timeout,
                ..PingOptions::default()
            };
            let carrier = Carrier::Udp {
                flow: *flow,
                port: 33434,
            };
            let (asked, report) = ask(Run::new(target(), carrier, 0, options, None));
            core.begin(asked, Now::default());
            let mut packet = Vec::new();
            let (due, sending) = core.take_due(0, &mut packet).unwrap();
            assert_eq!(sending.carrier.flow(), Some(*flow));
            core.sent(due, Now::default());
            runs.push((report, packet));
        }
        Self { core, runs }
    }

    /// A router says so much of a packet to the target, that came from that flow.
    fn refuse(&mut self, flow: u16, quoted: &[u8], millis: u64) {
        let arrived = Arrived {
            packet: Packet::of_message(quoted),
            from: Some(router()),
            stamp: None,
            error: Some(Said {
                queued: Queued {
                    by: Some(router()),
                    kind: 11,
                    code: 0,
                    info: 0,
                },
                destination: Some(target()),
            }),
        };
        self.core.datagram_arrived(&arrived, false, flow, millis * MS);
    }

    /// What became of each run, once all have ended.
    fn end(mut self) -> Vec<PingReport> {
        self.core.end(200 * MS);
        self.core.tell();
        self.runs
            .into_iter()
            .map(|(mut report, _)| report.now().unwrap())
            .collect()
    }
}

fn refused(report: &PingReport) -> Option<(IpAddr, Reason, Duration)> {
    match report.samples[0].outcome {
        Outcome::Unreachable { by, reason, rtt, .. } => Some((by, reason, rtt)),
        _ => None,
    }
}

#[test]
fn what_a_router_says_is_matched_by_what_it_quotes() {
    let mut rig = Rig::new(&[0, 0, 1]);
    let (first, last) = (rig.runs[0].1.clone(), rig.runs[2].1.clone());
    rig.refuse(0, &first, 7);
    rig.refuse(1, &last, 9);
    let reports = rig.end();
    let expected = |millis| Some((router(), Reason::TimeExceeded, Duration::from_millis(millis)));
    assert_eq!(refused(&reports[0]), expected(7));
    assert_eq!(
        (refused(&reports[1]), reports[1].samples[0].outcome.clone()),
        (None, Outcome::Lost)
    );
    assert_eq!(refused(&reports[2]), expected(9));
    assert!(
        reports
            .iter()
            .all(|report| report.access.is_none() && report.trust.dropped.is_none())
    );
}

#[test]
fn without_a_quotation_it_is_the_only_one_or_nobodys() {
    let mut rig = Rig::new(&[0, 1]);
    rig.refuse(1, &[], 5);
    let reports = rig.end();
    assert_eq!((refused(&reports[0]), reports[0].unlabelled), (None, 0));
    assert_eq!((refused(&reports[1]).is_some(), reports[1].unlabelled), (true, 0));
    let mut rig = Rig::new(&[0, 0]);
    rig.refuse(0, &[], 5);
    for report in rig.end() {
        assert_eq!((refused(&report), report.unlabelled, report.lost), (None, 1, 1));
    }
}

#[test]
fn a_service_that_gives_back_what_it_got_has_answered() {
    let mut rig = Rig::new(&[3]);
    let payload = rig.runs[0].1.clone();
    let arrived = |from| Arrived {
        packet: Packet::of_message(&payload),
        from: Some(from),
        stamp: None,
        error: None,
    };
    rig.core.datagram_arrived(&arrived(router()), false, 3, 4 * MS);
    rig.core.datagram_arrived(&arrived(target()), false, 2, 4 * MS);
    rig.core.datagram_arrived(&arrived(target()), false, 3, 6 * MS);
    let report = rig.end().remove(0);
    assert_eq!((report.answered, report.foreign), (1, 2), "{report:?}");
    assert_eq!(report.samples[0].rtt(), Some(Duration::from_millis(6)));
}
