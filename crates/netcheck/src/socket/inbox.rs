//! What has arrived at a socket: answers, and what the network says about what was sent.
use super::{Access, Kind, ProbeSocket};
use crate::{
    errqueue::{self, Queued, address},
    icmp::Packet,
    ping::clock::Now,
};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg},
        time::TimeSpec,
    },
};
use std::{
    io::{self, IoSliceMut},
    net::IpAddr,
    os::fd::AsRawFd as _,
};

/// So many packets are read by one call.
const TOGETHER: usize = 64;
/// Of a packet no more is read, in bytes: what tells answers apart stands at its beginning.
const READ: usize = 1536;
/// So many errors are read at a time: others wait for the next.
const ERRORS_TOGETHER: usize = 4096;

/// A packet that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'p> {
    /// From the ICMP header on; at a socket of UDP, what it carries.
    pub(crate) packet: Packet<'p>,
    /// Who sent it.
    pub(crate) from: Option<IpAddr>,
    /// When the kernel got it, in nanoseconds of wall time.
    pub(crate) stamp: Option<u64>,
    /// It is our own packet, about which somebody on the way sent this.
    pub(crate) error: Option<Said>,
}

/// What somebody said about a packet of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// The message.
    pub(crate) queued: Queued,
    /// Where our packet was to go.
    pub(crate) destination: Option<IpAddr>,
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

impl ProbeSocket {
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
                Err(_) if self.has_error_queue() => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.has_error_queue() {
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
        let has_ip_header = self.kind == Kind::Icmp(Access::Raw) && !self.is_v6;
        let mut count = 0;
        for message in messages {
            count += 1;
            let Some(bytes) = message.iovs().next() else { continue };
            let packet = if has_ip_header {
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
                    ControlMessageOwned::ScmTimestampns(time) => arrived.stamp = Now::stamp(time),
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
        let quoted = &mut inbox.buffers[0];
        for _ in 0..ERRORS_TOGETHER {
            let Some(taken) = errqueue::take(&self.socket, quoted) else {
                break;
            };
            if let Some(queued) = taken.queued {
                let destination = taken.destination;
                see(&Arrived {
                    packet: Packet::of_message(&quoted[..taken.length.min(READ)]),
                    from: queued.by,
                    stamp: taken.stamp,
                    error: Some(Said { queued, destination }),
                });
            }
        }
    }
}
