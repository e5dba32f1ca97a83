//! One socket for all targets of a family: raw where that is permitted, otherwise one for pings alone.
use super::{Packet, drops, filter};
use crate::{
    Failure, FailureKind,
    errqueue::{self, Queued},
};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, recvmsg, setsockopt, sockopt,
        },
        time::TimeSpec,
    },
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

/// So many packets are read by one call.
const TOGETHER: usize = 64;
/// Of a packet no more is read, in bytes: what tells answers apart stands at its beginning.
const READ: usize = 1536;

/// By which sort of socket pings are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Access {
    /// A raw socket, as the right `CAP_NET_RAW` permits.
    Raw,
    /// A datagram socket for pings, as `net.ipv4.ping_group_range` permits.
    Datagram,
}

/// By which sort of socket this process may send pings.
///
/// # Errors
/// When it may by neither: the failure says how that is granted.
pub fn access(is_v6: bool) -> Result<Access, Failure> {
    open(is_v6).map(|(_, access)| access)
}

/// How packets are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The time to live, where it is not the system's.
    pub(crate) ttl: Option<u8>,
    /// The packet may not be split, whatever this machine knows of the path.
    pub(crate) dont_fragment: bool,
    /// Traffic class, of eight bits.
    pub(crate) class: u8,
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'p> {
    pub(crate) packet: Packet<'p>,
    /// Who sent it.
    pub(crate) from: Option<IpAddr>,
    /// When the kernel got it, in nanoseconds of wall time.
    pub(crate) stamp: Option<u64>,
    /// It is our own packet, about which somebody on the way sent this.
    pub(crate) error: Option<Queued>,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct IcmpSocket {
    socket: Socket,
    access: Access,
    is_v6: bool,
    shape: Shape,
    ttl: u32,
    inode: u64,
}

/// What packets of one socket are read into. Not of several: the room for addresses and stamps stays as the packet before had it.
pub(crate) struct Inbox {
    buffers: Box<[[u8; READ]; TOGETHER]>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let space = cmsg_space!(TimeSpec, i32);
        Self {
            buffers: Box::new([[0; READ]; TOGETHER]),
            headers: MultiHeaders::preallocate(TOGETHER, Some(space)),
        }
    }
}

impl IcmpSocket {
    /// Opens one; the kernel lets only replies through that carry `magic`, and keeps so many bytes of them.
    ///
    /// # Errors
    /// When this process may not.
    pub(crate) fn open(is_v6: bool, magic: [u8; 4], buffer: usize) -> Result<Self, Failure> {
        let (socket, access) = open(is_v6)?;
        Self::set_up(socket, access, is_v6, magic, buffer)
            .map_err(|error| Failure::of_io("set up the socket for pings", &error))
    }

    fn set_up(socket: Socket, access: Access, is_v6: bool, magic: [u8; 4], buffer: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if access == Access::Raw {
            socket.attach_filter(&filter::answers_with(magic, is_v6))?;
        } else if is_v6 {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        }
        // Beyond the limit of the system that wants a right which a raw socket usually comes with.
        if setsockopt(&socket, sockopt::RcvBufForce, &buffer).is_err() {
            socket.set_recv_buffer_size(buffer)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if is_v6 {
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        } else if access == Access::Datagram {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        }
        if access == Access::Datagram {
            // It stands in the system's table, with what was dropped, from when it has an identifier: not from the first packet.
            let any: IpAddr = if is_v6 {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            };
            socket.bind(&SockAddr::from(SocketAddr::new(any, 0)))?;
        }
        let ttl = if is_v6 {
            socket.unicast_hops_v6()?
        } else {
            socket.ttl_v4()?
        };
        let inode = rustix::fs::fstat(&socket)?.st_ino;
        let mut socket = Self {
            socket,
            access,
            is_v6,
            shape: Shape::default(),
            ttl,
            inode,
        };
        // The system has a shape of its own, by which packets may not be split.
        socket.become_like(Shape::default())?;
        Ok(socket)
    }

    pub(crate) const fn access(&self) -> Access {
        self.access
    }

    pub(crate) const fn is_v6(&self) -> bool {
        self.is_v6
    }

    /// Sends a packet, as soon as the kernel takes it.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn send(&mut self, packet: &[u8], to: IpAddr, shape: Shape) -> io::Result<()> {
        if shape != self.shape {
            self.become_like(shape)?;
        }
        self.socket
            .send_to(packet, &SockAddr::from(SocketAddr::new(to, 0)))
            .map(drop)
    }

    /// Most packets are alike, so it costs a system call only where one differs from the one before.
    fn become_like(&mut self, shape: Shape) -> io::Result<()> {
        let ttl = shape.ttl.map_or(self.ttl, u32::from);
        let (class, is_whole) = (u32::from(shape.class), shape.dont_fragment);
        if self.is_v6 {
            self.socket.set_unicast_hops_v6(ttl)?;
            self.socket.set_tclass_v6(class)?;
            let discovery = if is_whole {
                Ipv6PathMtuDiscovery::PROBE
            } else {
                Ipv6PathMtuDiscovery::WANT
            };
            rustix::net::sockopt::set_ipv6_mtu_discover(&self.socket, discovery)?;
        } else {
            self.socket.set_ttl_v4(ttl)?;
            self.socket.set_tos_v4(class)?;
            let discovery = if is_whole {
                Ipv4PathMtuDiscovery::PROBE
            } else {
                Ipv4PathMtuDiscovery::DONT
            };
            rustix::net::sockopt::set_ip_mtu_discover(&self.socket, discovery)?;
        }
        self.shape = shape;
        Ok(())
    }

    /// Shows all that has arrived.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn read_all(&self, inbox: &mut Inbox, mut see: impl FnMut(&Arrived<'_>)) -> io::Result<()> {
        loop {
            match self.read_some(inbox, &mut see) {
                Ok(TOGETHER) => {}
                Ok(_) => break,
                // With an error queue, what is in there shows itself so as well.
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(_) if self.access == Access::Datagram => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.access == Access::Datagram {
            self.read_errors(inbox, &mut see);
        }
        Ok(())
    }

    fn read_some(&self, inbox: &mut Inbox, see: &mut impl FnMut(&Arrived<'_>)) -> nix::Result<usize> {
        let Inbox { buffers, headers } = inbox;
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let messages = recvmmsg(
            self.socket.as_raw_fd(),
            headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut count = 0;
        for message in messages {
            count += 1;
            let Some(bytes) = message.iovs().next() else { continue };
            let packet = if self.access == Access::Raw && !self.is_v6 {
                let Some(packet) = Packet::of_raw_v4(bytes) else {
                    continue;
                };
                packet
            } else {
                Packet::of_message(bytes)
            };
            let mut arrived = Arrived {
                from: message.address.as_ref().and_then(address).or(packet.source),
                packet,
                stamp: None,
                error: None,
            };
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::ScmTimestampns(time) => arrived.stamp = nanoseconds(time),
                    ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                        arrived.packet.ttl = u8::try_from(ttl).ok();
                    }
                    _ => {}
                }
            }
            see(&arrived);
        }
        Ok(count)
    }

    /// What routers say about packets of a datagram socket comes apart, with the packet as it was sent.
    fn read_errors(&self, inbox: &mut Inbox, see: &mut impl FnMut(&Arrived<'_>)) {
        let mut space = cmsg_space!([u8; errqueue::ROOM], TimeSpec, i32);
        for _ in 0..TOGETHER {
            let mut slices = [IoSliceMut::new(&mut inbox.buffers[0])];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            let Ok(message) = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut space), flags) else {
                break;
            };
            let (mut error, mut stamp) = (None, None);
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::ScmTimestampns(time) => stamp = nanoseconds(time),
                    control => error = error.or(errqueue::read(&control)),
                }
            }
            if let (Some(error), Some(bytes)) = (error, message.iovs().next()) {
                see(&Arrived {
                    packet: Packet::of_message(bytes),
                    from: error.by,
                    stamp,
                    error: Some(error),
                });
            }
        }
    }

    /// How many packets the kernel dropped because this socket's buffer was full; `None` where the system does not tell.
    pub(crate) fn dropped(&self) -> Option<u64> {
        let list = match (self.access, self.is_v6) {
            (Access::Raw, false) => "raw",
            (Access::Raw, true) => "raw6",
            (Access::Datagram, false) => "icmp",
            (Access::Datagram, true) => "icmp6",
        };
        drops::of(list, self.inode)
    }
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(is_v6: bool) -> Result<(Socket, Access), Failure> {
    let (domain, protocol, version) = if is_v6 {
        (Domain::IPV6, Protocol::ICMPV6, "IPv6")
    } else {
        (Domain::IPV4, Protocol::ICMPV4, "IPv4")
    };
    let raw = match Socket::new(domain, Type::RAW, Some(protocol)) {
        Ok(socket) => return Ok((socket, Access::Raw)),
        Err(error) => error,
    };
    match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => Ok((socket, Access::Datagram)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let detail = format!(
                "this process may send no pings by {version}: it has no raw sockets ({raw}), and its groups are not in \
                 net.ipv4.ping_group_range ({error})"
            );
            Err(Failure::new(FailureKind::Permission, detail))
        }
        Err(error) => {
            let detail = format!("no socket can be opened for pings by {version}: {error}");
            Err(Failure::new(FailureKind::System, detail))
        }
    }
}

fn address(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn nanoseconds(time: TimeSpec) -> Option<u64> {
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec()).ok()?, u64::try_from(time.tv_nsec()).ok()?);
    Some(seconds * 1_000_000_000 + nanoseconds)
}
