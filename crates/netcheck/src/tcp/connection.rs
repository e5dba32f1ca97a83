//! The first packet of a connection, and the connection.
//!
//! It is done by hand because an error of the call that connects is one of this machine, and the same error later is not.
use crate::{
    Failure,
    reach::{self, Queued},
    source,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
};
use tokio::net::TcpStream;

/// How an attempt has begun.
pub(super) enum Begun {
    /// It is there: on this host and its containers it comes before the call is over.
    AtOnce(Connection),
    /// It has to be waited for.
    Going(TcpStream),
}

/// A connection, which tokio knows only where it had to be waited for.
pub(crate) enum Connection {
    Unknown(Socket),
    Known(TcpStream),
}

/// Sends the first packet, from `from` where that is named.
pub(super) fn begin(address: SocketAddr, from: Option<IpAddr>) -> Result<Begun, Failure> {
    let no_socket = |error: io::Error| Failure::of_io("open a socket", &error);
    let socket = socket(address).map_err(no_socket)?;
    if let Some(from) = from {
        source::bind(&socket, from, address)?;
    }
    if has_routers(address) {
        errors::keep(&socket, address, true).map_err(no_socket)?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => return Ok(Begun::AtOnce(Connection::Unknown(socket))),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
        Err(error) => return Err(reach::at_once("connect", address, &error)),
    }
    // One look is cheaper than the three calls that waiting takes.
    let events = look(&socket);
    if events.is_empty() {
        return TcpStream::from_std(socket.into()).map(Begun::Going).map_err(no_socket);
    }
    let error = match events.intersects(PollFlags::ERR | PollFlags::HUP) {
        true => socket.take_error().unwrap_or_else(Some),
        false => None,
    };
    match error {
        Some(error) => Err(reach::later(address, &error, said(&socket))),
        None => Ok(Begun::AtOnce(Connection::Unknown(socket))),
    }
}

/// Whether anybody may stand between this machine and there.
const fn has_routers(peer: SocketAddr) -> bool {
    !peer.ip().is_loopback()
}

/// What the network said about the attempt, where it did.
pub(super) fn said(socket: &impl AsFd) -> Option<Queued> {
    errors::said(socket)
}

#[cfg(target_os = "linux")]
mod errors {
    use crate::{errqueue, reach::Queued};
    use std::{io, net::SocketAddr, os::fd::AsFd};

    /// Whether the system keeps what routers say.
    pub(super) fn keep(socket: &impl AsFd, peer: SocketAddr, is_kept: bool) -> io::Result<()> {
        errqueue::keep(socket, peer.is_ipv6(), is_kept)
    }

    pub(super) fn said(socket: &impl AsFd) -> Option<Queued> {
        errqueue::said(socket)
    }
}

#[cfg(not(target_os = "linux"))]
mod errors {
    use crate::reach::Queued;
    use std::{io, net::SocketAddr, os::fd::AsFd};

    pub(super) fn keep(_: &impl AsFd, _: SocketAddr, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn said(_: &impl AsFd) -> Option<Queued> {
        None
    }
}

fn look(socket: &Socket) -> PollFlags {
    let mut looked = [PollFd::new(socket, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut looked, Some(&now)) {
        Ok(_) => looked[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

impl Connection {
    /// Our end of it.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Unknown(socket) => socket.local_addr().ok()?.as_socket(),
            Self::Known(stream) => stream.local_addr().ok(),
        }
    }

    /// For whoever goes on with it, who knows to whom it is. A connection outlives what a router says in passing, unless it is asked
    /// to hear that.
    pub(crate) fn into_stream(self, peer: SocketAddr) -> Result<TcpStream, Failure> {
        let failed = |error| Failure::of_io("wait for a connection", &error);
        let stream = match self {
            Self::Unknown(socket) => TcpStream::from_std(socket.into()).map_err(failed)?,
            Self::Known(stream) => stream,
        };
        if has_routers(peer) {
            errors::keep(&stream, peer, false).map_err(failed)?;
        }
        Ok(stream)
    }

    /// Ends it so that nothing is left of it.
    pub(super) fn reset(self) -> io::Result<()> {
        match self {
            Self::Unknown(socket) => socket.set_linger(Some(std::time::Duration::ZERO)),
            Self::Known(stream) => stream.set_zero_linger(),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
