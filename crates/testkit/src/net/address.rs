//! The addresses of a [`Topology`](super::Topology): private ones, the same in every topology, since each has namespaces of
//! its own.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DualAddress {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl DualAddress {
    /// Both, IPv4 first: to do the same with each.
    pub const fn both(self) -> [IpAddr; 2] {
        [IpAddr::V4(self.v4), IpAddr::V6(self.v6)]
    }

    /// The first address of the network of each, which stands for the network in a route.
    pub(super) fn network(self) -> Self {
        Self {
            v4: Ipv4Addr::from_bits(self.v4.to_bits() & (u32::MAX << (32 - PREFIX_V4))),
            v6: Ipv6Addr::from_bits(self.v6.to_bits() & (u128::MAX << (128 - PREFIX_V6))),
        }
    }
}

/// Host A, where checks are run.
pub const A: DualAddress = at(1, 2);
/// Router r1, as A sees it: the first hop of every trace from A.
pub const R1: DualAddress = at(1, 1);
/// Router r1, as r2 sees it: the second hop of a trace from [`B`].
pub const R1_AT_LINK: DualAddress = at(2, 1);
/// Router r2, as r1 sees it: the second hop of a trace from A.
pub const R2: DualAddress = at(2, 2);
/// Router r2, as B sees it: the first hop of a trace from [`B`].
pub const R2_AT_B: DualAddress = at(3, 1);
/// Host B, three hops from A.
pub const B: DualAddress = at(3, 2);
/// Router r1, as r3 sees it. With ECMP only.
pub const R1_AT_R3: DualAddress = at(4, 1);
/// Router r3, as r1 sees it: the other second hop of a trace from A to [`ECMP_TARGET`]. With ECMP only.
pub const R3: DualAddress = at(4, 2);
/// Router r3, as B sees it. With ECMP only.
pub const R3_AT_B: DualAddress = at(5, 1);
/// Host B, as r3 sees it. With ECMP only.
pub const B_AT_R3: DualAddress = at(5, 2);
/// An address of B that r1 reaches by r2 and by r3 at the same cost, chosen by addresses, protocol and ports. With ECMP only.
pub const ECMP_TARGET: DualAddress = at(9, 9);

/// r2 answers with ICMP host unreachable (type 3 code 1) or ICMPv6 no route (type 1 code 0).
pub const UNREACHABLE: DualAddress = at(8, 1);
/// r2 answers with ICMP communication administratively prohibited (type 3 code 13) or ICMPv6's (type 1 code 1).
pub const PROHIBITED: DualAddress = at(8, 2);
/// r2 has no route there, and answers with ICMP network unreachable (type 3 code 0) or ICMPv6 no route (type 1 code 0).
pub const NO_ROUTE: DualAddress = at(8, 3);
/// r2 discards what goes there, and says nothing.
pub const DISCARDED: DualAddress = at(8, 4);
/// An address on B's network that nobody has: r2 asks for it, and says after some three seconds that nobody answers.
pub const ABSENT: DualAddress = at(3, 99);

/// How many bits name a network, of an IPv4 address.
pub(super) const PREFIX_V4: u8 = 24;
/// How many bits name a network, of an IPv6 address.
pub(super) const PREFIX_V6: u8 = 64;
/// Host `host` of network `network`.
const fn at(network: u8, host: u8) -> DualAddress {
    DualAddress {
        v4: Ipv4Addr::new(10, 201, network, host),
        v6: Ipv6Addr::new(0xfd20, network as u16, 0, 0, 0, 0, 0, host as u16),
    }
}
