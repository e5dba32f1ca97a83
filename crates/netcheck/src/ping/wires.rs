//! The engine's sockets: one for the pings of each family, and one for each port that datagrams are sent from.
use super::history::History;
use crate::{
    Failure,
    icmp::Access,
    socket::{Arrived, Carrier, Inbox, Plan, ProbeSocket},
};
use rustix::event::{PollFd, PollFlags};

/// The sockets.
#[derive(Debug)]
pub(super) struct Wires {
    /// By which sort of socket pings of each family are sent, or why they are not.
    pub(super) accesses: [Result<Access, Failure>; 2],
    wires: Vec<Wire>,
    plan: Plan,
}

#[derive(Debug)]
struct Wire {
    socket: ProbeSocket,
    /// How many packets it had dropped when that was looked at last.
    dropped: u64,
    /// Whether anything was ever to be sent by it.
    is_used: bool,
}

impl Wires {
    /// Opens those for pings, as far as this process may.
    pub(super) fn open(plan: Plan) -> Self {
        let sockets = [false, true].map(|is_v6| ProbeSocket::icmp(is_v6, plan));
        let accesses = sockets.each_ref().map(|socket| match socket {
            Ok((_, access)) => Ok(*access),
            Err(failure) => Err(failure.clone()),
        });
        let mut wires = Self {
            accesses,
            wires: Vec::new(),
            plan,
        };
        sockets.into_iter().flatten().for_each(|(socket, _)| wires.add(socket));
        wires
    }

    fn add(&mut self, socket: ProbeSocket) {
        self.wires.push(Wire {
            dropped: socket.dropped().unwrap_or(0),
            socket,
            is_used: false,
        });
    }

    /// Sees to it that there is a socket for such probes.
    ///
    /// # Errors
    /// When there can be none.
    pub(super) fn prepare(&mut self, is_v6: bool, carrier: Carrier) -> Result<(), Failure> {
        if let Some(place) = self.place(is_v6, carrier) {
            let wire = &mut self.wires[place];
            if !wire.is_used {
                wire.socket.hear(self.plan.magic)?;
                wire.is_used = true;
            }
            return Ok(());
        }
        let Carrier::Udp { flow, .. } = carrier else {
            return self.accesses[usize::from(is_v6)].clone().map(drop);
        };
        self.add(ProbeSocket::udp(is_v6, flow, self.plan)?);
        self.prepare(is_v6, carrier)
    }

    /// The socket for such probes, once it was prepared.
    pub(super) fn find(&mut self, is_v6: bool, carrier: Carrier) -> Option<&mut ProbeSocket> {
        let place = self.place(is_v6, carrier)?;
        Some(&mut self.wires[place].socket)
    }

    fn place(&self, is_v6: bool, carrier: Carrier) -> Option<usize> {
        self.wires.iter().position(|wire| wire.socket.is_for(is_v6, carrier))
    }

    /// Shows all that has arrived, and where; each socket has an inbox of its own among these.
    pub(super) fn read(&self, inboxes: &mut Vec<Inbox>, mut see: impl FnMut(&ProbeSocket, &Arrived<'_>)) {
        inboxes.resize_with(self.wires.len(), Inbox::new);
        for (wire, inbox) in self.wires.iter().zip(inboxes) {
            if wire.is_used {
                // What was wrong shows itself again with the next packet that is sent.
                let _read = wire.socket.read_all(inbox, |arrived| see(&wire.socket, arrived));
            }
        }
    }

    /// Notes what the kernel has dropped since that was looked at last, which was at `since`.
    pub(super) fn look_for_drops(&mut self, history: &mut History, since: u64, now: u64) {
        for wire in &mut self.wires {
            if let Some(dropped) = wire.socket.dropped().filter(|dropped| *dropped > wire.dropped) {
                history.dropped(since, now, dropped - wire.dropped);
                wire.dropped = dropped;
            }
        }
    }

    /// Whether the system tells what it drops of the answers to pings.
    pub(super) fn knows_drops(&self) -> bool {
        let mut pings = self.wires.iter().filter(|wire| wire.socket.access().is_some());
        pings.all(|wire| wire.socket.dropped().is_some())
    }

    /// To wait until something arrives at one of them.
    pub(super) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.wires.iter().map(|wire| PollFd::new(&wire.socket, PollFlags::IN))
    }
}
