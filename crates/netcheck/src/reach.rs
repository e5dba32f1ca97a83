//! Why something could not be sent or did not arrive, told apart by when the system said so.
//!
//! An error of the call that sends is for this machine: it has no route, or no port. The same error on the socket later
//! comes from the network: somebody on the way sent an ICMP message, of which the socket tells a number only.
use crate::{Failure, FailureKind, icmp::Reason};
use rustix::io::Errno;
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

/// The longest time that may be waited for anything: no check needs it, and no sum of times overflows.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// What is wrong with a time-out.
pub(crate) const fn wrong_timeout(timeout: Duration) -> Option<&'static str> {
    if timeout.is_zero() {
        Some("an answer takes more than no time")
    } else if timeout.as_secs() > LONGEST.as_secs() {
        Some("an answer is waited for an hour at most")
    } else {
        None
    }
}

/// What the system answered at once when something was to be sent to `peer`, which has no port where that is 0; `doing` is such as
/// `connect`.
pub(crate) fn at_once(doing: &str, peer: SocketAddr, error: &io::Error) -> Failure {
    let to = if peer.port() == 0 {
        peer.ip().to_string()
    } else {
        peer.to_string()
    };
    let no_route = |said: String| Failure::new(FailureKind::NoRoute, said);
    match Errno::from_io_error(error) {
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH) => no_route(format!("this machine has no route to {}", peer.ip())),
        Some(Errno::INVAL) if is_link_local(peer) => {
            let ip = peer.ip();
            let detail = format!("{ip} stands on every link: write `{ip}%INTERFACE`");
            Failure::new(FailureKind::Invalid, detail)
        }
        Some(Errno::INVAL) => no_route(format!("this machine drops what is sent to {}", peer.ip())),
        Some(Errno::ACCESS) if peer.is_ipv4() => no_route(format!(
            "the firewall or the routes of this machine forbid to {doing} to {to}, or it is the broadcast address of a network"
        )),
        Some(Errno::ACCESS | Errno::PERM) => no_route(format!(
            "the firewall or the routes of this machine forbid to {doing} to {to}"
        )),
        Some(Errno::ADDRNOTAVAIL) if peer.is_ipv6() => no_route(format!(
            "this machine has no IPv6 address, or no free port, from which to {doing} to {to}"
        )),
        Some(Errno::ADDRNOTAVAIL | Errno::AGAIN) => {
            let detail = format!("this machine has no free port left from which to {doing} to {to}");
            Failure::new(FailureKind::System, detail)
        }
        Some(Errno::MSGSIZE) => Failure::new(
            FailureKind::TooLarge,
            format!("what would have to be sent to {to} is longer than fits into one packet on the way"),
        ),
        _ => Failure::of_io(&format!("{doing} to {to}"), error),
    }
}

/// What came back later about something sent to `peer`; `said` is who sent which ICMP message, where the socket tells.
pub(crate) fn later(peer: SocketAddr, error: &io::Error, said: Option<Queued>) -> Failure {
    let (kind, what) = match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => (FailureKind::Refused, "nobody listens there"),
        Some(Errno::NETUNREACH) => (FailureKind::Unreachable, "no way to its network"),
        Some(Errno::HOSTUNREACH) => (FailureKind::Unreachable, "the host is not there, or may not be reached"),
        Some(Errno::HOSTDOWN) => (FailureKind::Unreachable, "no such host is known there"),
        Some(Errno::NONET) => (FailureKind::Unreachable, "the host is cut off"),
        Some(Errno::ACCESS | Errno::PERM) => (FailureKind::Unreachable, "a rule on the way forbids it"),
        Some(Errno::NOPROTOOPT) => (FailureKind::Unreachable, "the host does not know the protocol"),
        Some(Errno::MSGSIZE) => (FailureKind::TooLarge, "the packet was too large for the way"),
        Some(Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => (FailureKind::Closed, "it hung up"),
        Some(Errno::TIMEDOUT) => (FailureKind::TimedOut, "the system gave up waiting for an answer"),
        _ => return Failure::of_io(&format!("reach {peer}"), error),
    };
    let detail = match said {
        Some(said) if said.by == Some(peer.ip()) => format!("{peer}: {what} ({}, sent by the target)", said.name(peer)),
        Some(Queued { by: Some(by), .. }) => format!(
            "{peer}: {what} ({}, sent by {by})",
            said.map_or_else(String::new, |said| said.name(peer))
        ),
        Some(said) => format!("{peer}: {what} ({})", said.name(peer)),
        None => format!("{peer}: {what}"),
    };
    Failure::new(kind, detail)
}

/// A message of ICMP or ICMPv6 that the system took for one about a packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    /// Who sent it.
    pub(crate) by: Option<IpAddr>,
    /// Its type.
    pub(crate) kind: u8,
    /// Its code.
    pub(crate) code: u8,
    /// What more it says: the MTU, where the packet was too long.
    pub(crate) info: u32,
}

impl Queued {
    fn name(self, peer: SocketAddr) -> String {
        let Self { kind, code, .. } = self;
        let version = if peer.is_ipv6() { "v6" } else { "" };
        format!("ICMP{version} type {kind} code {code}")
    }
}

/// What somebody says of a target, with what he is called; or this machine itself, which finds nobody on its link.
pub(crate) fn said(by: IpAddr, target: IpAddr, reason: Reason, who: &str) -> String {
    // An address that can be bound is one of this machine's.
    let is_own = UdpSocket::bind((by, 0)).is_ok();
    match reason {
        Reason::HostUnreachable if is_own => format!(
            "nobody answers on this machine's own link for {target}, or for the router to it (neither ARP nor neighbour discovery finds it)"
        ),
        _ if is_own => format!("this machine itself says of {target}: {}", reason.words()),
        _ => format!("{who} says of {target}: {}", reason.words()),
    }
}

fn is_link_local(peer: SocketAddr) -> bool {
    matches!(peer, SocketAddr::V6(peer) if peer.ip().is_unicast_link_local() && peer.scope_id() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_for_this_machine_at_once_and_for_the_network_later() {
        let peer = "192.0.2.1:80".parse().unwrap();
        let error = io::Error::from(Errno::NETUNREACH);
        assert_eq!(at_once("connect", peer, &error).kind, FailureKind::NoRoute);
        assert_eq!(later(peer, &error, None).kind, FailureKind::Unreachable);
    }

    #[test]
    fn who_said_it_is_told() {
        let peer: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let said = |by: Option<&str>| Queued {
            by: by.map(|by| by.parse().unwrap()),
            kind: 3,
            code: 3,
            info: 0,
        };
        let error = io::Error::from(Errno::CONNREFUSED);
        let detail = |said| later(peer, &error, Some(said)).detail;
        assert!(detail(said(Some("192.0.2.1"))).ends_with("(ICMP type 3 code 3, sent by the target)"));
        assert!(detail(said(Some("198.51.100.7"))).ends_with("sent by 198.51.100.7)"));
        assert!(detail(said(None)).ends_with("(ICMP type 3 code 3)"));
    }

    #[test]
    fn a_link_local_address_without_its_interface_is_a_mistake_of_the_caller() {
        let error = io::Error::from(Errno::INVAL);
        let failure = at_once("connect", "[fe80::1]:80".parse().unwrap(), &error);
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(failure.detail.contains("fe80::1%INTERFACE"), "{}", failure.detail);
        let dropped = at_once("connect", "192.0.2.1:80".parse().unwrap(), &error);
        assert_eq!(dropped.kind, FailureKind::NoRoute);
    }
}
