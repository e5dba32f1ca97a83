//! The thread that sends, receives and waits, for all runs together.
use super::{
    clock::{Now, Steps},
    core::{Core, Due, Sending},
    pinger::{Command, Shared},
    run::Asked,
    wires::Wires,
};
use crate::{
    reach,
    socket::{Carrier, Inbox},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, PoisonError,
        atomic::Ordering::SeqCst,
        mpsc::{Receiver, TryRecvError},
    },
};

/// So many probes are sent before what has arrived is read: the smallest buffer that a system gives holds some 250 answers.
const TOGETHER: usize = 32;
/// Probes whose time is over wait so long for others: to look after each by itself costs more than it tells. Nanoseconds.
const ENDS_TOGETHER: u64 = 10_000_000;
/// Where probes or answers follow closely, so long they wait for each other, since a wake-up costs more than a probe. Answers
/// lose nothing by that, as the kernel stamps them; what probes lose is told as their slip. Nanoseconds.
const GATHERED: u64 = 1_000_000;
/// Who is called so much later than he wanted was kept from running. Nanoseconds.
const STALL: u64 = 100_000_000;
/// So many errors in a row may be about other packets.
const OTHERS_MOST: u32 = 8;
/// The kernel has no room for a packet: soon it has. Nanoseconds.
const NO_ROOM: u64 = 1_000_000;
/// With a limit on the rate, so much may be made up for at once. Nanoseconds.
const MADE_UP: u64 = 10_000_000;

/// The thread's own.
pub(super) struct Engine {
    core: Core,
    wires: Wires,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    steps: Steps,
    packet: Vec<u8>,
    /// When probes whose time was over were looked after last.
    ended_at: u64,
    /// When something was sent last.
    sent_at: u64,
    /// When something was read last.
    read_at: u64,
    /// Answers follow each other closely, and bear stamps.
    is_busy: bool,
    /// Nothing is sent before this: the kernel had no room.
    blocked_until: u64,
    /// Between two probes, where the rate is limited.
    gap: Option<u64>,
    /// When the next probe may be sent for the limit.
    allowed_at: u64,
}

impl Engine {
    pub(super) fn new(
        core: Core,
        wires: Wires,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
        rate: Option<u32>,
    ) -> Self {
        let now = Now::read();
        let mut engine = Self {
            core,
            wires,
            commands,
            shared,
            steps: Steps::new(now),
            packet: Vec::new(),
            ended_at: now.steady,
            sent_at: 0,
            read_at: 0,
            is_busy: false,
            blocked_until: 0,
            gap: rate.map(|rate| 1_000_000_000 / u64::from(rate.max(1))),
            allowed_at: 0,
        };
        engine.core.history.knows_drops = engine.wires.knows_drops();
        engine
    }

    /// Works until it is told to stop, or nobody is left who could.
    pub(super) fn run(mut self) {
        // They cannot go from thread to thread.
        let mut inboxes = Vec::new();
        let mut wanted_at = None;
        loop {
            let began = Now::read();
            if let Some(wanted) = wanted_at.filter(|wanted| began.steady > *wanted + STALL) {
                self.core.history.stalled(wanted, began.steady);
            }
            self.look_at_clock(began);
            if !self.obey(began) {
                return;
            }
            self.read(&mut inboxes);
            self.end_those_over();
            self.send();
            self.core.tell();
            let now = Now::read();
            if now.steady > began.steady + STALL {
                self.core.history.stalled(began.steady, now.steady);
            }
            wanted_at = self.next();
            if wanted_at.is_none_or(|wanted| wanted > now.steady) {
                self.wait(wanted_at, now.steady);
            }
        }
    }

    fn look_at_clock(&mut self, now: Now) {
        let step = self.steps.look(now);
        let step = step.or_else(|| self.steps.is_unsure().then(|| self.steps.look(Now::read())).flatten());
        if let Some(by) = step {
            self.core.history.stepped(now.steady, by);
        }
    }

    /// Takes what is asked for; false when it is to stop.
    fn obey(&mut self, now: Now) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Ping(asked)) => self.begin(asked, now),
                Ok(Command::WindDown) => self.core.wind_down(),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn begin(&mut self, asked: Asked, now: Now) {
        match self.wires.prepare(asked.run.address().is_ipv6(), asked.run.carrier()) {
            Ok(()) => self.core.begin(asked, now),
            Err(failure) => asked.refuse(failure),
        }
    }

    fn read(&mut self, inboxes: &mut Vec<Inbox>) {
        let (mut read_at, mut is_stamped) = (None, true);
        let core = &mut self.core;
        self.wires.read(inboxes, |socket, arrived| {
            let now = Now::read();
            if let Some(waited) = arrived.stamp.and_then(|stamp| now.wall.checked_sub(stamp))
                && waited > STALL
                && waited < now.steady
            {
                core.history.stalled(now.steady - waited, now.steady);
            }
            match socket.flow() {
                None => core.arrived(arrived, socket.is_v6(), now.steady),
                Some(flow) => core.datagram_arrived(arrived, socket.is_v6(), flow, now.steady),
            }
            (read_at, is_stamped) = (Some(now.steady), is_stamped && arrived.stamp.is_some());
        });
        if let Some(at) = read_at {
            self.is_busy = is_stamped && at < self.read_at + 2 * GATHERED;
            self.read_at = at;
        }
    }

    /// What the kernel dropped is known before any probe without an answer is called lost.
    fn end_those_over(&mut self) {
        let now = Now::read().steady;
        let is_due = self.core.next_ending().is_some_and(|at| at <= now);
        if !is_due || now < self.ended_at + ENDS_TOGETHER {
            return;
        }
        self.wires.look_for_drops(&mut self.core.history, self.ended_at, now);
        self.ended_at = now;
        self.core.end(now);
    }

    fn send(&mut self) {
        let now = Now::read().steady;
        for _ in 0..TOGETHER {
            if self.may_send_at() > now {
                return;
            }
            let Some((due, sending)) = self.core.take_due(now, &mut self.packet) else {
                return;
            };
            // Each time is from just before its packet.
            let at = Now::read();
            match self.try_send(sending) {
                Ok(()) => {
                    self.core.sent(due, at);
                    self.sent_at = at.steady;
                    if let Some(gap) = self.gap {
                        self.allowed_at = self.allowed_at.max(at.steady.saturating_sub(MADE_UP)) + gap;
                    }
                }
                Err(error) if is_for_now(&error) => {
                    self.core.postpone(due);
                    self.blocked_until = at.steady + NO_ROOM;
                    return;
                }
                Err(error) => self.not_sent(due, sending, at, &error),
            }
        }
    }

    fn try_send(&mut self, sending: Sending) -> io::Result<()> {
        let Sending { to, carrier, shape } = sending;
        let Some(socket) = self.wires.find(to.is_ipv6(), carrier) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let port = match carrier {
            Carrier::Echo => 0,
            Carrier::Udp { port, .. } => port,
        };
        let to = SocketAddr::new(to, port);
        let mut sent = socket.send(&self.packet, to, shape);
        // A socket with an error queue says with the next packet what became of one before, and of another one that came meanwhile;
        // what it was is read apart.
        for _ in 0..OTHERS_MOST {
            if sent.is_ok() || !socket.has_error_queue() {
                break;
            }
            sent = socket.send(&self.packet, to, shape);
        }
        sent
    }

    fn not_sent(&mut self, due: Due, sending: Sending, at: Now, error: &io::Error) {
        let (doing, port) = match sending.carrier {
            Carrier::Echo => ("send a ping", 0),
            Carrier::Udp { port, .. } => ("send", port),
        };
        let failure = reach::at_once(doing, SocketAddr::new(sending.to, port), error);
        self.core.unsent(due, at, failure);
    }

    fn may_send_at(&self) -> u64 {
        self.blocked_until.max(self.gap.map_or(0, |_| self.allowed_at))
    }

    /// When there is something to do by the clock.
    fn next(&mut self) -> Option<u64> {
        let sent_at = self.core.may_gather().then_some(self.sent_at);
        let due = self
            .core
            .next_due()
            .map(|at| at.max(self.may_send_at()).max(with_others(at, sent_at)));
        let ending = self.core.next_ending().map(|at| at.max(self.ended_at + ENDS_TOGETHER));
        [due, ending].into_iter().flatten().min()
    }

    /// Until something arrives, is asked for, or is due.
    fn wait(&self, until: Option<u64>, now: u64) {
        *self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner) = self.core.counters;
        self.shared.is_asleep.store(true, SeqCst);
        // Who asked before that has not rung: so it is looked once more, by not waiting.
        let is_asked = self.shared.asked.swap(0, SeqCst) > 0;
        // More answers are about to come: they are read together.
        let gathered = Some(self.read_at + GATHERED).filter(|at| self.is_busy && now < *at);
        let until = [until, gathered].into_iter().flatten().min();
        let long = if is_asked {
            Some(0)
        } else {
            until.map(|until| until.saturating_sub(now))
        };
        let long = long.map(|nanoseconds| Timespec {
            tv_sec: (nanoseconds / 1_000_000_000) as i64,
            tv_nsec: (nanoseconds % 1_000_000_000) as i64,
        });
        let mut fds = vec![PollFd::new(&self.shared.bell, PollFlags::IN)];
        if gathered.is_none() {
            fds.extend(self.wires.watched());
        }
        // A signal ends the wait, and costs one more look.
        let _ready = poll(&mut fds, long.as_ref());
        self.shared.is_asleep.store(false, SeqCst);
        let has_rung = fds[0].revents().contains(PollFlags::IN);
        drop(fds);
        if has_rung {
            let _count = rustix::io::read(&self.shared.bell, &mut [0_u8; 8]);
        }
    }
}

/// When a probe goes that is due at `at`: with those that become due soon after the last ones were sent, where probes wait for each
/// other; but none waits longer than that, so that where more are due than are sent at a time, they are sent as fast as it goes.
fn with_others(at: u64, sent_at: Option<u64>) -> u64 {
    sent_at.map_or(0, |sent_at| (sent_at + GATHERED).min(at.saturating_add(GATHERED)))
}

/// Whether the kernel takes the packet soon.
fn is_for_now(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    error.kind() == io::ErrorKind::Interrupted || [Errno::AGAIN, Errno::NOBUFS, Errno::NOMEM].map(Some).contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_waits_for_others_and_never_longer_than_they_may_take() {
        const LATE: u64 = 50 * GATHERED;
        assert_eq!(with_others(LATE, None), 0, "each by itself");
        // Due right after others were sent.
        assert_eq!(with_others(LATE + 1, Some(LATE)), LATE + GATHERED);
        // Overdue, behind many others: now.
        assert!(with_others(LATE - GATHERED, Some(LATE)) <= LATE);
    }
}
