//! How long a packet this machine sends at the most: the MTU of the interface on the way to a target.
use std::net::IpAddr;

/// It, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn local_mtu(to: IpAddr) -> Option<u16> {
    linux::ask(to).ok().flatten()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn local_mtu(_: IpAddr) -> Option<u16> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use crate::errqueue;
    use nix::{
        cmsg_space,
        sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
    };
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    use std::{
        io::{self, IoSliceMut},
        net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
        os::fd::AsRawFd as _,
    };

    /// Nobody listens there who would mind, if an interface should carry it after all, as a loopback does.
    const DISCARD: u16 = 9;
    /// The longest that a datagram of either version carries.
    const LONGEST: usize = 65_487;

    /// The system is given a packet that no interface carries, and says what one would carry (`IP_MTU_DISCOVER` and `IP_RECVERR` of
    /// ip(7)). It does not say that of an interface without such a limit.
    pub(super) fn ask(to: IpAddr) -> io::Result<Option<u16>> {
        let any: IpAddr = if to.is_ipv6() {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        if to.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            rustix::net::sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            rustix::net::sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
        }
        if socket.send_to(&[0; LONGEST], (to, DISCARD)).is_ok() {
            return Ok(Some(u16::MAX));
        }
        let mut nothing = [IoSliceMut::new(&mut [])];
        let mut space = cmsg_space!([u8; errqueue::ROOM]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut nothing, Some(&mut space), flags)?;
        let said = message.cmsgs()?.find_map(|control| errqueue::longest(&control));
        Ok(said.map(|said| u16::try_from(said).unwrap_or(u16::MAX)))
    }
}
