//! Without the right to raw sockets.
use super::{
    network,
    path::{FEW, refused},
    ping_all,
};
use netcheck::{
    Failure, FailureKind,
    icmp::{self, Access, Reason},
    ping::{Outcome, PingOptions, Pinger, PingerOptions},
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use testkit::net::{Topology, TopologyOptions, address};

/// An engine on host A by a user without rights: the thread gives them up, and goes.
pub(super) fn pinger_without_rights(network: &Topology, options: PingerOptions) -> Result<Pinger, Failure> {
    let start = || {
        without_rights();
        if let Ok(access) = icmp::access(false) {
            assert_eq!(access, Access::Datagram);
        }
        Pinger::start(options)
    };
    network.a().enter(start).unwrap()
}

/// The thread gives up what root may do with sockets.
pub(crate) fn without_rights() {
    let mut sets = capabilities(None).unwrap();
    for set in [&mut sets.effective, &mut sets.permitted] {
        set.remove(CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN);
    }
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets).unwrap();
}

pub(crate) fn open_network() -> Option<Topology> {
    let options = TopologyOptions {
        ping_sockets: true,
        ..TopologyOptions::default()
    };
    Topology::new_or_skip(&options).unwrap()
}

#[test]
fn a_user_without_rights_is_answered_where_his_group_may_ping() {
    let Some(network) = open_network() else { return };
    let pinger = pinger_without_rights(&network, PingerOptions::default()).unwrap();
    for report in ping_all(&pinger, &address::B.both(), FEW) {
        assert_eq!(
            (report.access, report.answered, &report.failure),
            (Some(Access::Datagram), 4, &None)
        );
        for sample in &report.samples {
            assert!(
                matches!(sample.outcome, Outcome::Answered { ttl: Some(62), .. }),
                "{sample:?}"
            );
        }
        assert_eq!(report.trust.dropped, Some(0));
    }
}

#[test]
fn a_user_without_rights_hears_what_routers_say() {
    let Some(network) = open_network() else { return };
    let pinger = pinger_without_rights(&network, PingerOptions::default()).unwrap();
    let reports = ping_all(&pinger, &address::PROHIBITED.both(), FEW);
    for (report, by) in reports.iter().zip(address::R2.both()) {
        refused(report, by, Reason::Prohibited, FailureKind::Unreachable);
    }
    let near = PingOptions { ttl: Some(1), ..FEW };
    let reports = ping_all(&pinger, &address::B.both(), near);
    for (report, by) in reports.iter().zip(address::R1.both()) {
        refused(report, by, Reason::TimeExceeded, FailureKind::Unreachable);
    }
    network.set_mtu(1300).unwrap();
    let split = PingOptions { size: 1400, ..FEW };
    let fresh = pinger_without_rights(&network, PingerOptions::default()).unwrap();
    let report = fresh.ping(address::B.v4.into(), split).wait();
    assert_eq!((report.answered, report.failure), (4, None));
    let whole = PingOptions {
        size: 1400,
        dont_fragment: true,
        ..FEW
    };
    let reports = ping_all(&pinger, &address::B.both(), whole);
    for (report, by) in reports.iter().zip(address::R1.both()) {
        refused(report, by, Reason::TooBig { mtu: 1300 }, FailureKind::TooLarge);
    }
    for report in ping_all(&pinger, &address::B.both(), FEW) {
        assert_eq!((report.answered, report.failure), (4, None));
    }
}

#[test]
fn a_user_who_may_not_ping_is_told_both_ways_to_be_allowed_to() {
    let Some(network) = network() else { return };
    let failure = pinger_without_rights(&network, PingerOptions::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permission);
    let told = format!("{failure}; {}", failure.kind.remedy());
    assert!(
        told.contains("setcap cap_net_raw") && told.contains("net.ipv4.ping_group_range"),
        "{told}"
    );
}
