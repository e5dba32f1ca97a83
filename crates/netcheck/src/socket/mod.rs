//! The sockets of probes: one for all targets of a family. Pings go by a raw one where that is permitted, otherwise by one for
//! pings alone; datagrams of UDP by one for each port of ours.
mod drops;
mod filter;
pub(crate) mod inbox;

use crate::{Failure, FailureKind, errqueue, source};
pub(crate) use inbox::{Arrived, Inbox};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

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
    open_for_pings(is_v6).map(|(_, access)| access)
}

/// As what a probe travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// An echo request.
    Echo,
    /// A datagram of UDP.
    Udp {
        /// Which of our ports it is from.
        flow: u16,
        /// The port it goes to.
        port: u16,
    },
}

impl Carrier {
    /// Which of our ports it is from, if it is of UDP.
    pub(crate) const fn flow(self) -> Option<u16> {
        match self {
            Self::Echo => None,
            Self::Udp { flow, .. } => Some(flow),
        }
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Icmp(Access),
    Udp { flow: u16 },
}

/// What sockets are like from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The kernel lets only replies to pings through that carry this.
    pub(crate) magic: [u8; 4],
    /// It keeps so many bytes of what nobody has read yet.
    pub(crate) buffer: usize,
    /// They send from this address; otherwise from the one that the routes choose.
    pub(crate) source: Option<IpAddr>,
}

/// A socket.
#[derive(Debug)]
pub(crate) struct ProbeSocket {
    socket: Socket,
    kind: Kind,
    is_v6: bool,
    /// How the socket sends; nothing is known of it at first.
    shape: Option<Shape>,
    ttl: u32,
    inode: u64,
}

impl ProbeSocket {
    /// Opens one for pings, which [`hear`](Self::hear) makes use of.
    ///
    /// # Errors
    /// When this process may not, or has no such address to send from.
    pub(crate) fn icmp(is_v6: bool, plan: Plan) -> Result<(Self, Access), Failure> {
        let (socket, access) = open_for_pings(is_v6)?;
        let filtered = match access {
            Access::Raw => socket
                .attach_filter(&filter::nothing())
                .and_then(|()| filter::spare_requests(&socket, is_v6)),
            Access::Datagram => Ok(()),
        };
        filtered.map_err(|error| Failure::of_io("set up the socket for pings", &error))?;
        Ok((Self::set_up(socket, Kind::Icmp(access), is_v6, plan)?, access))
    }

    /// Lets answers through from now on: a raw socket gets every error of the machine, which would fill one that nobody reads.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn hear(&self, magic: [u8; 4]) -> Result<(), Failure> {
        if self.kind != Kind::Icmp(Access::Raw) {
            return Ok(());
        }
        let filtered = self.socket.attach_filter(&filter::answers_with(magic, self.is_v6));
        filtered.map_err(|error| Failure::of_io("set up the socket for pings", &error))
    }

    /// Opens one for datagrams of UDP, from a port of its own.
    ///
    /// # Errors
    /// When the system has none, or no such address to send from.
    pub(crate) fn udp(is_v6: bool, flow: u16, plan: Plan) -> Result<Self, Failure> {
        let domain = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP));
        let socket = socket.map_err(|error| Failure::of_io("open a socket for probes by UDP", &error))?;
        Self::set_up(socket, Kind::Udp { flow }, is_v6, plan)
    }

    fn set_up(socket: Socket, kind: Kind, is_v6: bool, plan: Plan) -> Result<Self, Failure> {
        let is_raw = kind == Kind::Icmp(Access::Raw);
        if let Some(source) = plan.source {
            source::is_for(source, is_v6)?;
        }
        // One that is not raw stands in the system's table, with what was dropped, from when it has an identifier or a port: not
        // from the first packet.
        if !is_raw || plan.source.is_some() {
            let local = plan.source.unwrap_or(source::any(is_v6));
            let bound = socket.bind(&SockAddr::from(SocketAddr::new(local, 0)));
            bound.map_err(|error| source::refused(local, &error))?;
        }
        Self::with_options(socket, kind, is_v6, plan.buffer)
            .map_err(|error| Failure::of_io("set up a socket for probes", &error))
    }

    fn with_options(socket: Socket, kind: Kind, is_v6: bool, buffer: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_raw = kind == Kind::Icmp(Access::Raw);
        // Beyond the limit of the system that wants a right which a raw socket usually comes with.
        if setsockopt(&socket, sockopt::RcvBufForce, &buffer).is_err() {
            socket.set_recv_buffer_size(buffer)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if is_v6 {
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        } else if !is_raw {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        }
        if !is_raw {
            errqueue::ask_for(&socket, is_v6)?;
        }
        let ttl = if is_v6 {
            socket.unicast_hops_v6()?
        } else {
            socket.ttl_v4()?
        };
        let inode = rustix::fs::fstat(&socket)?.st_ino;
        let mut socket = Self {
            socket,
            kind,
            is_v6,
            shape: None,
            ttl,
            inode,
        };
        // The system has a shape of its own, by which packets may not be split.
        socket.become_like(Shape::default())?;
        Ok(socket)
    }

    /// By which sort of socket pings are sent; `None` for one of UDP.
    pub(crate) const fn access(&self) -> Option<Access> {
        match self.kind {
            Kind::Icmp(access) => Some(access),
            Kind::Udp { .. } => None,
        }
    }

    /// Which of our ports it has, if it is of UDP.
    pub(crate) const fn flow(&self) -> Option<u16> {
        match self.kind {
            Kind::Udp { flow } => Some(flow),
            Kind::Icmp(_) => None,
        }
    }

    pub(crate) const fn is_v6(&self) -> bool {
        self.is_v6
    }

    /// Whether it is the one for such a probe.
    pub(crate) fn is_for(&self, is_v6: bool, carrier: Carrier) -> bool {
        self.flow() == carrier.flow() && self.is_v6 == is_v6
    }

    /// Whether it has a queue for what the network says: what is in there shows itself also as an error of the next call, whatever
    /// that is.
    pub(crate) fn has_error_queue(&self) -> bool {
        self.kind != Kind::Icmp(Access::Raw)
    }

    /// Sends a packet, as soon as the kernel takes it.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn send(&mut self, packet: &[u8], to: SocketAddr, shape: Shape) -> io::Result<()> {
        if self.shape != Some(shape) {
            self.become_like(shape)?;
        }
        self.socket.send_to(packet, &SockAddr::from(to)).map(drop)
    }

    /// Most packets are alike, so it costs a system call only for what differs from the one before.
    fn become_like(&mut self, shape: Shape) -> io::Result<()> {
        let before = self.shape.take();
        if before.is_none_or(|before| before.ttl != shape.ttl) {
            let ttl = shape.ttl.map_or(self.ttl, u32::from);
            if self.is_v6 {
                self.socket.set_unicast_hops_v6(ttl)?;
            } else {
                self.socket.set_ttl_v4(ttl)?;
            }
        }
        if before.is_none_or(|before| before.class != shape.class) {
            let class = u32::from(shape.class);
            if self.is_v6 {
                self.socket.set_tclass_v6(class)?;
            } else {
                self.socket.set_tos_v4(class)?;
            }
        }
        if before.is_none_or(|before| before.dont_fragment != shape.dont_fragment) {
            self.keep_whole(shape.dont_fragment)?;
        }
        self.shape = Some(shape);
        Ok(())
    }

    fn keep_whole(&self, is_whole: bool) -> io::Result<()> {
        if self.is_v6 {
            let discovery = if is_whole {
                Ipv6PathMtuDiscovery::PROBE
            } else {
                Ipv6PathMtuDiscovery::WANT
            };
            rustix::net::sockopt::set_ipv6_mtu_discover(&self.socket, discovery)?;
        } else {
            let discovery = if is_whole {
                Ipv4PathMtuDiscovery::PROBE
            } else {
                Ipv4PathMtuDiscovery::DONT
            };
            rustix::net::sockopt::set_ip_mtu_discover(&self.socket, discovery)?;
        }
        Ok(())
    }

    /// How many packets the kernel dropped because this socket's buffer was full; `None` where the system does not tell, as of what
    /// is said about datagrams of UDP.
    pub(crate) fn dropped(&self) -> Option<u64> {
        let list = match (self.access()?, self.is_v6) {
            (Access::Raw, false) => "raw",
            (Access::Raw, true) => "raw6",
            (Access::Datagram, false) => "icmp",
            (Access::Datagram, true) => "icmp6",
        };
        drops::of(list, self.inode)
    }
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open_for_pings(is_v6: bool) -> Result<(Socket, Access), Failure> {
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
                "this process may send no pings: it has no raw sockets ({raw}), and its groups are not in \
                 net.ipv4.ping_group_range ({error}), which holds for IPv6 as well"
            );
            Err(Failure::new(FailureKind::Permission, detail))
        }
        Err(error) => {
            let detail = format!("no socket can be opened for pings by {version}: {error}");
            Err(Failure::new(FailureKind::System, detail))
        }
    }
}
