//! What the network says about a packet of ours, as a socket's error queue tells it (`IP_RECVERR` of ip(7)).
use nix::sys::socket::ControlMessageOwned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for one such error with the address of whoever sent it, in bytes.
pub(crate) const ROOM: usize = 48;
/// Who found the error: routers and hosts, by ICMP or ICMPv6 (`SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6`).
const ICMP: [u8; 2] = [2, 3];

/// A message of ICMP or ICMPv6.
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

/// This system itself, and what it says when a packet is too long for an interface (`SO_EE_ORIGIN_LOCAL`, `EMSGSIZE`).
const LOCAL: u8 = 1;
const TOO_LONG: u32 = nix::errno::Errno::EMSGSIZE as u32;

/// The longest packet that the interface carries, where this system itself found one too long for it.
pub(crate) fn longest(control: &ControlMessageOwned) -> Option<u32> {
    let (ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _)) = control else {
        return None;
    };
    (error.ee_origin == LOCAL && error.ee_errno == TOO_LONG).then_some(error.ee_info)
}

/// The message behind a queued error; `None` for anything else, such as what this system itself found wrong.
pub(crate) fn read(control: &ControlMessageOwned) -> Option<Queued> {
    let (error, by) = match control {
        ControlMessageOwned::Ipv4RecvErr(error, by) => {
            let by = by.map(|by| IpAddr::V4(Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr))));
            (error, by)
        }
        ControlMessageOwned::Ipv6RecvErr(error, by) => {
            let by = by.map(|by| IpAddr::V6(Ipv6Addr::from(by.sin6_addr.s6_addr)));
            (error, by)
        }
        _ => return None,
    };
    ICMP.contains(&error.ee_origin).then_some(Queued {
        by,
        kind: error.ee_type,
        code: error.ee_code,
        info: error.ee_info,
    })
}
