//! Attempts to connect that end on the way, which this system tells in the error queue of the socket since Linux 5.9.
//!
//! A flow has one port of ours, so that routers which share their load send all of it one way; and a port has one attempt at a time
//! to a target.
use super::{Answer, Seen, Shot, unless_reached};
use crate::{
    Doubt, Failure, errqueue,
    icmp::Reason,
    ping::clock::{Now, round_trip},
    reach, source,
    trace::options::TraceOptions,
    trust::STALL,
};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// So many attempts are under way at the most, of all traces together: each has an open file.
const AT_ONCE: usize = 256;

/// Soon after that, the system sends the first packet again (RFC 6298: after a second), and nobody knows which was answered.
const FIRST_REPEAT: Duration = Duration::from_millis(950);
/// So often it is looked whether this process runs, as nothing stamps the answer of a target.
const LOOK: Duration = Duration::from_millis(50);
/// So many targets and flows are kept before those are forgotten that nobody waits for.
const TURNS_KEPT: usize = 1024;

/// A flow to a target, of which one attempt can be under way.
type Turn = tokio::sync::Mutex<()>;

/// Our ports.
#[derive(Debug)]
pub(in crate::trace) struct Ports {
    /// Sockets that hold the ports, by version and flow.
    held: Mutex<HashMap<(bool, u16), Socket>>,
    at_once: Semaphore,
    turns: Mutex<HashMap<(SocketAddr, u16), Weak<Turn>>>,
    /// The address of ours that attempts are made from; any.
    source: Option<IpAddr>,
}

impl Ports {
    pub(in crate::trace) fn new(source: Option<IpAddr>) -> Self {
        Self {
            source,
            held: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
            turns: Mutex::default(),
        }
    }

    /// Tries to connect, and tells what came of it and for how long this process did not run meanwhile.
    pub(super) async fn shoot(&self, to: IpAddr, port: u16, shot: Shot, options: &TraceOptions) -> (Seen, Duration) {
        let peer = SocketAddr::new(to, port);
        let turn = self.turn(peer, shot.flow);
        let _turn = turn.lock().await;
        // Nobody closes it.
        let _permit = self.at_once.acquire().await;
        match self.open(peer, shot, options.class) {
            Ok(socket) => attempt(socket, peer, shot.timeout.min(FIRST_REPEAT)).await,
            Err(failure) => (Seen::Unsent(failure), Duration::ZERO),
        }
    }

    /// Who has it may try to connect to that target from the port of that flow.
    fn turn(&self, peer: SocketAddr, flow: u16) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&(peer, flow)).and_then(Weak::upgrade) {
            return turn;
        }
        // Those that nobody waits for any more.
        if turns.len() >= TURNS_KEPT {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Turn::default());
        turns.insert((peer, flow), Arc::downgrade(&turn));
        turn
    }

    fn open(&self, peer: SocketAddr, shot: Shot, class: u8) -> Result<Socket, Failure> {
        let local = self.port(peer.is_ipv6(), shot.flow)?;
        with_options(&local, peer, shot, class)
            .map_err(|error| Failure::of_io("open a socket for an attempt by TCP", &error))
    }

    /// The port of a flow, with the address that attempts are made from.
    fn port(&self, is_v6: bool, flow: u16) -> Result<SockAddr, Failure> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let no_port = |error: io::Error| Failure::of_io("take a port for attempts by TCP", &error);
        if let Some(socket) = held.get(&(is_v6, flow)) {
            return socket.local_addr().map_err(no_port);
        }
        let local = self.source.unwrap_or(source::any(is_v6));
        source::is_for(local, is_v6)?;
        let socket = fresh(is_v6).map_err(no_port)?;
        let bound = socket.bind(&SocketAddr::new(local, 0).into());
        bound.map_err(|error| source::refused(local, &error))?;
        let taken = socket.local_addr();
        held.insert((is_v6, flow), socket);
        taken.map_err(no_port)
    }
}

fn with_options(local: &SockAddr, peer: SocketAddr, shot: Shot, class: u8) -> io::Result<Socket> {
    let socket = fresh(peer.is_ipv6())?;
    // An orderly end would keep the port from the next attempt for a minute.
    socket.set_linger(Some(Duration::ZERO))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    errqueue::ask_for(&socket, peer.is_ipv6())?;
    if peer.is_ipv6() {
        socket.set_unicast_hops_v6(shot.ttl.into())?;
        socket.set_tclass_v6(class.into())?;
    } else {
        socket.set_ttl_v4(shot.ttl.into())?;
        socket.set_tos_v4(class.into())?;
    }
    socket.bind(local)?;
    Ok(socket)
}

fn fresh(is_v6: bool) -> io::Result<Socket> {
    let domain = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Several sockets have one port, to different targets.
    socket.set_reuse_address(true)?;
    if is_v6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// An attempt under way. Its port is free for the next one once it is dropped: to close it is not enough, as a process that
/// another thread starts at that moment holds it until it runs its program.
struct Attempt(TcpStream);

impl Drop for Attempt {
    fn drop(&mut self) {
        // Where nothing is connected, nothing is to be ended.
        let _ended = rustix::net::connect_unspec(&self.0);
    }
}

async fn attempt(socket: Socket, peer: SocketAddr, timeout: Duration) -> (Seen, Duration) {
    let unsent = |error: &io::Error| (Seen::Unsent(reach::at_once("connect", peer, error)), Duration::ZERO);
    let deadline = Instant::now() + timeout;
    let sent = Now::read();
    let begun = socket.connect(&peer.into());
    if let Err(error) = begun
        && !is_under_way(&error)
    {
        // A port of this machine itself that is closed says so at once.
        return if error.kind() == io::ErrorKind::ConnectionRefused {
            (reached(peer.ip(), sent), Duration::ZERO)
        } else {
            unsent(&error)
        };
    }
    let attempt = match TcpStream::from_std(socket.into()) {
        Ok(stream) => Attempt(stream),
        Err(error) => return unsent(&error),
    };
    let stream = &attempt.0;
    let stall = match wait(stream, deadline).await {
        Ok(stall) => stall,
        Err(error) => return unsent(&error),
    };
    // What came while this process did not run is there all the same.
    match outcome(stream, peer, sent) {
        Some(Seen::Answer(answer)) if answer.rtt > timeout && stall.is_zero() => (Seen::Nothing, stall),
        Some(Seen::Answer(answer)) if answer.rtt > timeout => (Seen::Unknown(Doubt::Stalled), stall),
        Some(seen) => (seen, stall),
        None if stall * 2 >= timeout => (Seen::Unknown(Doubt::Stalled), stall),
        None => (Seen::Nothing, stall),
    }
}

/// Waits for an end of the attempt, and tells for how long this process did not run meanwhile.
async fn wait(stream: &TcpStream, deadline: Instant) -> io::Result<Duration> {
    let mut stall = Duration::ZERO;
    loop {
        let look = deadline.min(Instant::now() + LOOK);
        let ready = timeout_at(look, stream.ready(Interest::WRITABLE.add(Interest::ERROR))).await;
        stall = stall.max(Some(look.elapsed()).filter(|late| *late > STALL).unwrap_or_default());
        match ready {
            Ok(Ok(_)) => return Ok(stall),
            Ok(Err(error)) => return Err(error),
            Err(_) if Instant::now() >= deadline => return Ok(stall),
            Err(_) => {}
        }
    }
}

fn is_under_way(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    error.kind() == io::ErrorKind::WouldBlock || errno == Some(rustix::io::Errno::INPROGRESS)
}

fn reached(by: IpAddr, sent: Now) -> Seen {
    Seen::Answer(Answer {
        by,
        rtt: Duration::from_nanos(Now::read().steady.saturating_sub(sent.steady)),
        reason: None,
        mpls: Vec::new(),
    })
}

/// What became of the attempt; `None` while that is open.
fn outcome(socket: &TcpStream, peer: SocketAddr, sent: Now) -> Option<Seen> {
    if let Some(answer) = said(socket, peer, sent) {
        return Some(Seen::Answer(answer));
    }
    match socket.take_error() {
        // A refusal that no router sent is the target's own.
        Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Some(reached(peer.ip(), sent)),
        Ok(Some(error)) => Some(Seen::Unsent(reach::later(peer, &error, None))),
        Ok(None) if socket.peer_addr().is_ok() => Some(reached(peer.ip(), sent)),
        Ok(None) => None,
        Err(error) => Some(Seen::Unsent(reach::later(peer, &error, None))),
    }
}

/// The message of a router about it.
fn said(socket: &TcpStream, peer: SocketAddr, sent: Now) -> Option<Answer> {
    let errqueue::Taken { queued, stamp, .. } = errqueue::take(socket, &mut [])?;
    let queued = queued?;
    let by = queued.by?;
    let reason = Reason::new(peer.is_ipv6(), queued.kind, queued.code, queued.info)?;
    let rtt = round_trip(sent, stamp, Now::read().steady);
    Some(Answer {
        by,
        rtt: Duration::from_nanos(rtt),
        // A host may say by ICMP, too, that nobody listens there.
        reason: unless_reached(peer.ip(), by, reason),
        mpls: Vec::new(),
    })
}
