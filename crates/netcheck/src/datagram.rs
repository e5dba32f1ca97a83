//! One peer, one UDP socket: replies of the peer, what the network says about it, and strangers counted.
//!
//! The socket is bound to the address from which the peer is reached, and not connected: a connected one would never see
//! that the answer comes from another address, as it does from a server with several. What comes back by ICMP is asked
//! for (`IP_RECVERR`), without which the system keeps all but the worst of it to itself.
use crate::{Failure, FailureKind, reach, source};
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{Instant, timeout_at},
};

/// A socket for one exchange with one peer.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: UdpSocket,
    peer: SocketAddr,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// What came from anybody else, or was not an answer to what was sent.
    pub(crate) foreign: u64,
}

impl Datagrams {
    /// A fresh socket with a port of its own, at an address of this machine where one is named.
    pub(crate) fn open(peer: SocketAddr, from: Option<IpAddr>) -> Result<Self, Failure> {
        let no_socket = |error: io::Error| Failure::of_io("open a socket", &error);
        let mut local = chosen(peer, from)?;
        local.set_port(0);
        let socket = std::net::UdpSocket::bind(local).map_err(no_socket)?;
        socket.set_nonblocking(true).map_err(no_socket)?;
        errors::ask_for(&socket, peer).map_err(no_socket)?;
        Ok(Self {
            local: socket.local_addr().map_err(no_socket)?,
            socket: UdpSocket::from_std(socket).map_err(no_socket)?,
            peer,
            foreign: 0,
        })
    }

    /// Sends one datagram.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = self.socket.send_to(bytes, self.peer).await;
        sent.map(drop)
            .map_err(|error| reach::at_once("send", self.peer, &error))
    }

    /// The next datagram of the peer: its length, which is above that of `buffer` where it did not fit.
    pub(crate) async fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, Failure> {
        loop {
            let interest = Interest::READABLE.add(Interest::ERROR);
            let received = self.socket.async_io(interest, || {
                let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
                Ok(rustix::net::recvfrom(&self.socket, &mut *buffer, flags)?)
            });
            let (_, length, from) = match timeout_at(deadline, received).await {
                Ok(Ok(received)) => received,
                Ok(Err(error)) => return Err(reach::later(self.peer, &error, errors::said(&self.socket))),
                Err(_) => return Err(self.silence()),
            };
            let from = from.and_then(|from| SocketAddr::try_from(from).ok());
            if from.is_some_and(|from| from.ip() == self.peer.ip() && from.port() == self.peer.port()) {
                return Ok(length);
            }
            self.foreign += 1;
        }
    }

    fn silence(&self) -> Failure {
        let mut detail = format!("{} did not answer", self.peer);
        if self.foreign > 0 {
            detail += &format!("; what came besides, and was no answer of it: {}", self.foreign);
        }
        Failure::new(FailureKind::TimedOut, detail)
    }
}

/// The address of this machine from which packets to `peer` go; `from` where that is named, if there is a way from it.
fn chosen(peer: SocketAddr, from: Option<IpAddr>) -> Result<SocketAddr, Failure> {
    let no_socket = |error: io::Error| Failure::of_io("open a socket", &error);
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP)).map_err(no_socket)?;
    if let Some(from) = from {
        source::bind(&socket, from, peer)?;
    }
    // Nothing is sent: the system only looks up the way.
    let connected = socket.connect(&peer.into());
    connected.map_err(|error| reach::at_once("send", peer, &error))?;
    let local = socket.local_addr().map_err(no_socket)?;
    let any = SocketAddr::new(source::any(peer.is_ipv6()), 0);
    Ok(local.as_socket().unwrap_or(any))
}

#[cfg(target_os = "linux")]
mod errors {
    use crate::errqueue::{self, Queued};
    use std::{
        io,
        net::{SocketAddr, UdpSocket as StdSocket},
    };
    use tokio::net::UdpSocket;

    pub(super) fn ask_for(socket: &StdSocket, peer: SocketAddr) -> io::Result<()> {
        errqueue::ask_for(socket, peer.is_ipv6())
    }

    /// The ICMP message behind an error of the socket, where there was one.
    pub(super) fn said(socket: &UdpSocket) -> Option<Queued> {
        errqueue::said(socket)
    }
}

#[cfg(not(target_os = "linux"))]
mod errors {
    use crate::reach::Queued;
    use std::{io, net::SocketAddr};

    pub(super) fn ask_for(socket: &std::net::UdpSocket, peer: SocketAddr) -> io::Result<()> {
        // Elsewhere only a connected socket hears of a port that is not there; strangers are not seen then.
        socket.connect(peer)
    }

    pub(super) fn said(_: &tokio::net::UdpSocket) -> Option<Queued> {
        None
    }
}
