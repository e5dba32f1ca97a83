//! What the network says about a packet of ours, as a socket's error queue tells it (`IP_RECVERR` of ip(7)).
pub(crate) use crate::reach::Queued;

use crate::ping::clock::Now;
use nix::{
    cmsg_space,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd as _},
};

/// Room for one such error with the address of whoever sent it, in bytes.
const ROOM: usize = 48;
/// Who found the error: routers and hosts, by ICMP or ICMPv6 (`SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6`).
const ICMP: [u8; 2] = [2, 3];

/// What stood first in a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The message of ICMP or ICMPv6, if it is one.
    pub(crate) queued: Option<Queued>,
    /// The longest packet that the interface carries, where this system itself found one too long for it.
    pub(crate) longest: Option<u32>,
    /// When the kernel got it, in nanoseconds of wall time, where stamps are asked for.
    pub(crate) stamp: Option<u64>,
    /// Where our packet was to go.
    pub(crate) destination: Option<IpAddr>,
    /// So much of our packet was quoted, in bytes.
    pub(crate) length: usize,
}

/// This system itself, and what it says when a packet is too long for an interface (`SO_EE_ORIGIN_LOCAL`, `EMSGSIZE`).
const LOCAL: u8 = 1;
const TOO_LONG: u32 = nix::errno::Errno::EMSGSIZE as u32;

/// Has a socket keep what is said about its packets.
///
/// # Errors
/// When the system refuses.
pub(crate) fn ask_for(socket: &impl AsFd, is_v6: bool) -> io::Result<()> {
    keep(socket, is_v6, true)
}

/// Whether a socket keeps what is said about its packets.
///
/// # Errors
/// When the system refuses.
pub(crate) fn keep(socket: &impl AsFd, is_v6: bool, is_kept: bool) -> io::Result<()> {
    if is_v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &is_kept)?;
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &is_kept)?;
    }
    Ok(())
}

/// The message of ICMP or ICMPv6 that stands first in the queue, which is taken from it.
pub(crate) fn said(socket: &impl AsFd) -> Option<Queued> {
    take(socket, &mut [])?.queued
}

/// Takes what stands first in the queue, with what it quotes of our packet; `None` when nothing is there.
pub(crate) fn take(socket: &impl AsFd, quoted: &mut [u8]) -> Option<Taken> {
    let mut quoted = [IoSliceMut::new(quoted)];
    let mut space = cmsg_space!([u8; ROOM], TimeSpec, i32);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut quoted, Some(&mut space), flags).ok()?;
    let mut taken = Taken {
        queued: None,
        longest: None,
        stamp: None,
        destination: message.address.as_ref().and_then(address),
        length: message.bytes,
    };
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::ScmTimestampns(time) => taken.stamp = Now::stamp(time),
            control => {
                taken.queued = taken.queued.or_else(|| read(&control));
                taken.longest = taken.longest.or_else(|| longest(&control));
            }
        }
    }
    Some(taken)
}

/// The address in what a socket tells of a peer.
pub(crate) fn address(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn longest(control: &ControlMessageOwned) -> Option<u32> {
    let (ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _)) = control else {
        return None;
    };
    (error.ee_origin == LOCAL && error.ee_errno == TOO_LONG).then_some(error.ee_info)
}

/// The message behind a queued error; `None` for anything else, such as what this system itself found wrong.
fn read(control: &ControlMessageOwned) -> Option<Queued> {
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
