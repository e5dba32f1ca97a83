//! The thread that sends, receives and waits, for all runs together.
use super::{
    clock::{Now, Steps},
    core::{Core, Due, Sending},
    pinger::{Command, Shared},
    run::Request,
};
use crate::{
    Failure, FailureKind,
    icmp::{Access, IcmpSocket, Inbox},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    io,
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
/// Who is called so much later than he wanted was kept from running. Nanoseconds.
const STALL: u64 = 100_000_000;
/// The kernel has no room for a packet: soon it has. Nanoseconds.
const NO_ROOM: u64 = 1_000_000;
/// With a limit on the rate, so much may be made up for at once. Nanoseconds.
const MADE_UP: u64 = 10_000_000;

/// The sockets of both families, each with why there is none.
pub(super) type Sockets = [Result<IcmpSocket, Failure>; 2];

/// The thread's own.
pub(super) struct Engine {
    core: Core,
    sockets: Sockets,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    steps: Steps,
    packet: Vec<u8>,
    /// When probes whose time was over were looked after last.
    ended_at: u64,
    /// How many packets each socket had dropped by then.
    dropped: [u64; 2],
    /// The families that were ever asked for.
    is_used: [bool; 2],
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
        sockets: Sockets,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
        rate: Option<u32>,
    ) -> Self {
        let now = Now::read();
        let dropped = sockets.each_ref().map(|socket| dropped(socket).unwrap_or(0));
        let mut engine = Self {
            core,
            sockets,
            commands,
            shared,
            steps: Steps::new(now),
            packet: Vec::new(),
            ended_at: now.steady,
            dropped,
            is_used: [false; 2],
            blocked_until: 0,
            gap: rate.map(|rate| 1_000_000_000 / u64::from(rate.max(1))),
            allowed_at: 0,
        };
        engine.core.history.knows_drops = engine.sockets.iter().flatten().all(|socket| socket.dropped().is_some());
        engine
    }

    /// Works until it is told to stop, or nobody is left who could.
    pub(super) fn run(mut self) {
        // They cannot go from thread to thread.
        let mut inboxes = [Inbox::new(), Inbox::new()];
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
                Ok(Command::Ping(request)) => self.begin(request, now),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn begin(&mut self, request: Request, now: Now) {
        let family = index(request.address.is_ipv6());
        match &self.sockets[family] {
            Ok(_) => {
                self.is_used[family] = true;
                self.core.begin(request, now);
            }
            Err(failure) => request.refuse(failure.clone()),
        }
    }

    fn read(&mut self, inboxes: &mut [Inbox; 2]) {
        for (socket, inbox) in self.sockets.iter().zip(inboxes) {
            let Ok(socket) = socket else { continue };
            let is_v6 = socket.is_v6();
            if !self.is_used[index(is_v6)] {
                continue;
            }
            let core = &mut self.core;
            // What was wrong shows itself again with the next packet that is sent.
            let _read = socket.read_all(inbox, |arrived| {
                let now = Now::read();
                if let Some(waited) = arrived.stamp.and_then(|stamp| now.wall.checked_sub(stamp))
                    && waited > STALL
                    && waited < now.steady
                {
                    core.history.stalled(now.steady - waited, now.steady);
                }
                core.arrived(arrived, is_v6, now.steady);
            });
        }
    }

    /// What the kernel dropped is known before any probe without an answer is called lost.
    fn end_those_over(&mut self) {
        let now = Now::read().steady;
        let is_due = self.core.next_ending().is_some_and(|at| at <= now);
        if !is_due || now < self.ended_at + ENDS_TOGETHER {
            return;
        }
        for (socket, before) in self.sockets.iter().zip(&mut self.dropped) {
            if let Some(dropped) = dropped(socket).filter(|dropped| dropped > before) {
                self.core.history.dropped(self.ended_at, now, dropped - *before);
                *before = dropped;
            }
        }
        self.ended_at = now;
        self.core.end(now);
    }

    fn send(&mut self) {
        for _ in 0..TOGETHER {
            let at = Now::read();
            if self.may_send_at() > at.steady {
                return;
            }
            let Some((due, sending)) = self.core.take_due(at.steady, &mut self.packet) else {
                return;
            };
            let at = Now::read();
            match self.try_send(sending) {
                Ok(()) => {
                    self.core.sent(due, at);
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
        let Ok(socket) = &mut self.sockets[index(sending.to.is_ipv6())] else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let sent = socket.send(&self.packet, sending.to, sending.shape);
        if socket.access() == Access::Raw || sent.is_ok() {
            return sent;
        }
        // A datagram socket says with the next packet what became of one before; what it was is read apart.
        socket.send(&self.packet, sending.to, sending.shape)
    }

    fn not_sent(&mut self, due: Due, sending: Sending, at: Now, error: &io::Error) {
        let to = sending.to;
        let mut failure = Failure::of_io(&format!("send a ping to {to}"), error);
        if Errno::from_io_error(error) == Some(Errno::MSGSIZE) {
            failure.kind = FailureKind::TooLarge;
        } else if failure.kind == FailureKind::Permission {
            failure.detail = format!("a rule of this machine's own firewall forbids to send to {to}: {error}");
        }
        self.core.unsent(due, at, failure);
    }

    fn may_send_at(&self) -> u64 {
        self.blocked_until.max(self.gap.map_or(0, |_| self.allowed_at))
    }

    /// When there is something to do by the clock.
    fn next(&mut self) -> Option<u64> {
        let due = self.core.next_due().map(|at| at.max(self.may_send_at()));
        let ending = self.core.next_ending().map(|at| at.max(self.ended_at + ENDS_TOGETHER));
        [due, ending].into_iter().flatten().min()
    }

    /// Until something arrives, is asked for, or is due.
    fn wait(&self, until: Option<u64>, now: u64) {
        *self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner) = self.core.counters;
        self.shared.is_asleep.store(true, SeqCst);
        // Who asked before that has not rung: so it is looked once more, by not waiting.
        let is_asked = self.shared.asked.swap(0, SeqCst) > 0;
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
        fds.extend(
            self.sockets
                .iter()
                .flatten()
                .map(|socket| PollFd::new(socket, PollFlags::IN)),
        );
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

const fn index(is_v6: bool) -> usize {
    is_v6 as usize
}

fn dropped(socket: &Result<IcmpSocket, Failure>) -> Option<u64> {
    socket.as_ref().ok()?.dropped()
}

/// Whether the kernel takes the packet soon.
fn is_for_now(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    error.kind() == io::ErrorKind::Interrupted || [Errno::AGAIN, Errno::NOBUFS, Errno::NOMEM].map(Some).contains(&errno)
}
