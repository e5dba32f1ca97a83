//! What the kernel lets through to a raw socket, which gets every ICMP packet of the machine otherwise: without it, others'
//! pings would fill the buffer that our answers need.
use nix::{libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use socket2::{SockFilter, Socket};
use std::io;

/// Operations of classic BPF, as `<linux/bpf_common.h>` numbers them.
mod op {
    /// Index register: four times the low half of a byte, the length of an IPv4 header.
    pub(super) const INDEX_BY_HEADER: u16 = 0xb1;
    /// Index register: a constant.
    pub(super) const INDEX: u16 = 0x01;
    /// A byte behind the index.
    pub(super) const BYTE: u16 = 0x50;
    /// Four bytes behind the index.
    pub(super) const WORD: u16 = 0x40;
    /// Go on by whether it is the constant.
    pub(super) const IS: u16 = 0x15;
    /// Keep so many bytes; with none, drop the packet.
    pub(super) const KEEP: u16 = 0x06;
}

/// As `<linux/icmp.h>` and `<linux/icmpv6.h>` number it.
const TYPES: libc::c_int = 1;

sockopt_impl!(
    /// The types of ICMP that a socket is spared, a bit each.
    SparedV4, SetOnly, libc::SOL_RAW, TYPES, u32
);
sockopt_impl!(
    /// The same of ICMPv6 (RFC 3542, section 3.2, with the bits as Linux has them).
    SparedV6, SetOnly, libc::IPPROTO_ICMPV6, TYPES, [u32; 8]
);

/// More than any packet has.
const ALL: u32 = 0x4_0000;

/// Lets nothing through.
pub(super) fn nothing() -> Vec<SockFilter> {
    vec![SockFilter::new(op::KEEP, 0, 0, 0)]
}

/// The types of echo replies and of errors.
const fn wanted(is_v6: bool) -> (u32, &'static [u32]) {
    if is_v6 { (129, &[1, 2, 3, 4]) } else { (0, &[3, 11, 12]) }
}

/// Has the kernel look at the type of a packet before it makes a copy for the socket: most are requests, on loopback our own.
///
/// # Errors
/// As the system says.
pub(super) fn spare_requests(socket: &Socket, is_v6: bool) -> io::Result<()> {
    let (reply, errors) = wanted(is_v6);
    let types = [&[reply], errors].concat();
    if is_v6 {
        let mut spared = [u32::MAX; 8];
        types
            .iter()
            .for_each(|kind| spared[(kind / 32) as usize] &= !(1 << (kind % 32)));
        setsockopt(socket, SparedV6, &spared)?;
    } else {
        let spared = types.iter().fold(u32::MAX, |spared, kind| spared & !(1 << kind));
        setsockopt(socket, SparedV4, &spared)?;
    }
    Ok(())
}

/// Lets echo replies through that carry `magic`, and errors.
pub(super) fn answers_with(magic: [u8; 4], is_v6: bool) -> Vec<SockFilter> {
    let (reply, errors) = wanted(is_v6);
    let index = if is_v6 { op::INDEX } else { op::INDEX_BY_HEADER };
    let errors_end = errors.len() as u8;
    let mut program = vec![
        SockFilter::new(index, 0, 0, 0),
        SockFilter::new(op::BYTE, 0, 0, 0),
        // A reply goes on to its payload; anything else is compared with each type of error.
        SockFilter::new(op::IS, 0, 2, reply),
        SockFilter::new(op::WORD, 0, 0, crate::icmp::HEADER as u32),
        SockFilter::new(op::IS, errors_end + 1, errors_end, u32::from_be_bytes(magic)),
    ];
    for (at, kind) in (0_u8..).zip(errors) {
        program.push(SockFilter::new(op::IS, errors_end - at, 0, *kind));
    }
    program.push(SockFilter::new(op::KEEP, 0, 0, 0));
    program.push(SockFilter::new(op::KEEP, 0, 0, ALL));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::icmp::echo_request;
    use socket2::{Domain, Protocol, Type};
    use std::{io::Read as _, net::SocketAddr, time::Duration};

    #[test]
    fn a_raw_socket_gets_replies_and_not_the_requests() {
        let families = [
            (Domain::IPV4, Protocol::ICMPV4, "127.0.0.1:0", 20, 0),
            (Domain::IPV6, Protocol::ICMPV6, "[::1]:0", 0, 129),
        ];
        for (domain, protocol, to, header, reply) in families {
            let Ok(mut socket) = Socket::new(domain, Type::RAW, Some(protocol)) else {
                eprintln!("not looked at: this process has no raw sockets");
                return;
            };
            let is_v6 = domain == Domain::IPV6;
            spare_requests(&socket, is_v6).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut packet = Vec::new();
            echo_request(is_v6, 0x5a17, 7, b"which of them comes back", &mut packet);
            let to: SocketAddr = to.parse().unwrap();
            socket.send_to(&packet, &to.into()).unwrap();
            loop {
                let mut buffer = [0; 256];
                let length = socket.read(&mut buffer).unwrap();
                // Others on this machine ping as well.
                if buffer[header..length].get(4..) == packet.get(4..) {
                    assert_eq!(buffer[header], reply);
                    break;
                }
            }
        }
    }
}
