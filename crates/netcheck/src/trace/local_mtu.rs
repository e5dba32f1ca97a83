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
    use crate::{errqueue, source};
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    use std::{
        io,
        net::{IpAddr, UdpSocket},
    };

    /// Nobody listens there who would mind, if an interface should carry it after all, as a loopback does.
    const DISCARD: u16 = 9;
    /// The longest that a datagram of either version carries.
    const LONGEST: usize = 65_487;

    /// The system is given a packet that no interface carries, and says what one would carry (`IP_MTU_DISCOVER` and `IP_RECVERR` of
    /// ip(7)). It does not say that of an interface without such a limit.
    pub(super) fn ask(to: IpAddr) -> io::Result<Option<u16>> {
        let socket = UdpSocket::bind((source::any(to.is_ipv6()), 0))?;
        errqueue::ask_for(&socket, to.is_ipv6())?;
        if to.is_ipv6() {
            rustix::net::sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
        } else {
            rustix::net::sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
        }
        if socket.send_to(&[0; LONGEST], (to, DISCARD)).is_ok() {
            return Ok(Some(u16::MAX));
        }
        let said = errqueue::take(&socket, &mut []).and_then(|taken| taken.longest);
        Ok(said.map(|said| u16::try_from(said).unwrap_or(u16::MAX)))
    }
}
