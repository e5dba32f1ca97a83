//! What pings cost at the least: a socket, a call for each that is sent, and nothing kept but how many were answered.
use super::{Pings, target, turns::Told};
use anyhow::{Context, Result};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    setsockopt_impl, sockopt_impl,
    sys::{
        socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io::IoSliceMut,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _},
    process,
};

/// As many as the engine sends before it reads.
const TOGETHER: u32 = 32;
/// An IPv4 header, one of ICMP, and 56 bytes.
const PACKET: usize = 84;
/// As `<linux/icmp.h>` numbers it.
const ICMP_FILTER: libc::c_int = 1;

sockopt_impl!(
    /// The types of ICMP that the socket is spared, a bit each.
    Spared, SetOnly, libc::SOL_RAW, ICMP_FILTER, u32
);

/// Pings each target once, and prints how many were sent and lost.
pub(crate) fn ping(args: &Pings) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).context("no raw socket")?;
    setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, Spared, &!1)?;
    let mut answers = Answers::new();
    let mut answered = 0;
    for n in 0..args.targets {
        let to = SocketAddr::new(IpAddr::V4(target(n)), 0);
        socket.send_to(&request(n, answers.id), &SockAddr::from(to))?;
        if n % TOGETHER == TOGETHER - 1 {
            answered += answers.read(&socket)?;
        }
    }
    while answered < args.targets {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(1000_u16))? == 0 {
            break;
        }
        answered += answers.read(&socket)?;
    }
    let told = Told {
        sent: args.targets.into(),
        lost: args.targets.saturating_sub(answered).into(),
    };
    println!("{} {}", told.sent, told.lost);
    Ok(())
}

/// An echo request with its number in the payload.
fn request(n: u32, id: [u8; 2]) -> [u8; PACKET - 20] {
    let mut packet = [0; PACKET - 20];
    packet[0] = 8;
    packet[4..6].copy_from_slice(&id);
    packet[8..12].copy_from_slice(&n.to_be_bytes());
    let (pairs, _) = packet.as_chunks::<2>();
    let sum: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    packet[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}

/// What answers are read into.
struct Answers {
    /// Those of other processes have another.
    id: [u8; 2],
    buffers: Box<[[u8; 128]; 64]>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Answers {
    fn new() -> Self {
        let space = cmsg_space!(TimeSpec);
        Self {
            id: (process::id() as u16).to_be_bytes(),
            buffers: Box::new([[0; 128]; 64]),
            headers: MultiHeaders::preallocate(64, Some(space)),
        }
    }

    /// How many have arrived.
    fn read(&mut self, socket: &Socket) -> Result<u32> {
        let id = self.id;
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                let bytes = messages.filter_map(|message| message.iovs().next());
                Ok(bytes.filter(|bytes| bytes.get(24..26) == Some(&id)).count() as u32)
            }
            Err(Errno::EAGAIN) => Ok(0),
            Err(error) => Err(error).context("could not read answers"),
        }
    }
}
