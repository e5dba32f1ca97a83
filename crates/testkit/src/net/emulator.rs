//! The link itself: a thread that carries packets from one TUN device to another, and treats them as it is told.
use super::counts::LinkCounts;
use super::direction::{Direction, Passage};
use super::settings::LinkSettings;
use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tun_rs::SyncDevice;

/// The largest packet there is.
const LARGEST: usize = 65_535;
/// How many packets are read from a device before the other, and the clock, are looked at again.
const BATCH: usize = 64;

/// A running link. It ends when dropped, and its devices go with it.
#[derive(Debug)]
pub(super) struct Emulator {
    directions: Arc<Mutex<Directions>>,
    seed: u64,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// The direction from the first device to the second, and back.
type Directions = [Direction; 2];

impl Emulator {
    /// Joins two devices, which lie in whatever namespaces they were opened in.
    pub(super) fn start(devices: [SyncDevice; 2], seed: u64) -> Result<Self> {
        for device in &devices {
            device
                .set_nonblocking(true)
                .context("could not make a TUN device non-blocking")?;
        }
        let stop = eventfd(0, EventfdFlags::CLOEXEC).context("could not make an event descriptor")?;
        let stop = Arc::new(stop);
        let [there, back] = seeds(seed);
        let unhindered = LinkSettings::default();
        let directions = [Direction::new(unhindered, there), Direction::new(unhindered, back)];
        let directions = Arc::new(Mutex::new(directions));
        let carrier = Carrier {
            devices,
            directions: Arc::clone(&directions),
            held: BinaryHeap::new(),
            taken: 0,
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || carrier.run(&stopped))
            .context("could not start a thread")?;
        Ok(Self {
            directions,
            seed,
            stop,
            thread: Some(thread),
        })
    }

    /// Does as these settings say to packets that come in from now on, with fresh dice and accounts.
    pub(super) fn set(&self, settings: [LinkSettings; 2]) {
        let mut directions = lock(&self.directions);
        for ((direction, settings), seed) in directions.iter_mut().zip(settings).zip(seeds(self.seed)) {
            direction.restart(settings, seed);
        }
    }

    /// Loses everything in both directions, or no longer.
    pub(super) fn cut(&self, cut: bool) {
        lock(&self.directions)
            .iter_mut()
            .for_each(|direction| direction.cut(cut));
    }

    /// The accounts up to now.
    pub(super) fn counts(&self) -> LinkCounts {
        let [toward_b, toward_a] = &*lock(&self.directions);
        LinkCounts {
            toward_b: toward_b.counts(),
            toward_a: toward_a.counts(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()).ok();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => eprintln!("the link of a test network had failed: {error}"),
            Some(Err(_)) => eprintln!("the link of a test network had panicked"),
        }
    }
}

/// The dice of the two directions are different ones.
const fn seeds(seed: u64) -> [u64; 2] {
    [seed, !seed]
}

/// The account is right at every moment, so a thread that panicked leaves it as right as it was.
fn lock(directions: &Mutex<Directions>) -> MutexGuard<'_, Directions> {
    directions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread works with.
struct Carrier {
    devices: [SyncDevice; 2],
    directions: Arc<Mutex<Directions>>,
    held: BinaryHeap<Reverse<Packet>>,
    taken: u64,
}

/// A packet on its way, in the order of going out.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    /// Packets that are due at the same time go out as they came in.
    number: u64,
    from: usize,
    came: Instant,
    bytes: Vec<u8>,
    passage: Passage,
}

impl Carrier {
    fn run(mut self, stop: &OwnedFd) -> io::Result<()> {
        // Timers may be 50 microseconds late unless asked not to; where that is refused, they are.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
        let mut buffer = vec![0; LARGEST];
        loop {
            let timeout = self.send_what_is_due().map(timespec);
            let watched = [self.devices[0].as_fd(), self.devices[1].as_fd(), stop.as_fd()];
            let mut watched = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            match poll(&mut watched, timeout.as_ref()) {
                Err(Errno::INTR) => continue,
                polled => polled?,
            };
            let [first, second, stopped] = watched.map(|fd| !fd.revents().is_empty());
            if stopped {
                return Ok(());
            }
            for (side, readable) in [first, second].into_iter().enumerate() {
                if readable {
                    self.take(side, &mut buffer)?;
                }
            }
        }
    }

    /// Takes what has come in at one side, a batch at most, and decides about it.
    fn take(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            let size = match self.devices[from].recv(buffer) {
                Ok(size) => size,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let came = Instant::now();
            let bytes = &buffer[..size];
            if !is_unicast(bytes) {
                continue;
            }
            let Some(passage) = lock(&self.directions)[from].accept(size) else {
                continue;
            };
            self.taken += 1;
            self.held.push(Reverse(Packet {
                due: came + passage.delay,
                number: self.taken,
                from,
                came,
                bytes: bytes.to_vec(),
                passage,
            }));
        }
        Ok(())
    }

    /// Sends what is due, and returns how long it is until the next packet is.
    fn send_what_is_due(&mut self) -> Option<Duration> {
        loop {
            let next = self.held.peek_mut()?;
            let now = Instant::now();
            if next.0.due > now {
                return Some(next.0.due - now);
            }
            let Reverse(packet) = std::collections::binary_heap::PeekMut::pop(next);
            self.send(&packet, now);
        }
    }

    fn send(&self, packet: &Packet, now: Instant) {
        let device = &self.devices[1 - packet.from];
        // Held while writing, so that whoever has got the packet finds it in the account.
        let direction = &mut lock(&self.directions)[packet.from];
        for copy in [false, true].into_iter().take(1 + usize::from(packet.passage.twice)) {
            match device.send(&packet.bytes) {
                Ok(_) => direction.deliver(packet.passage, copy, now - packet.came),
                Err(_) => direction.overrun(packet.passage, copy),
            }
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Whether an IP packet goes to one host, and not to a group of neighbours.
fn is_unicast(packet: &[u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(16).is_some_and(|first| *first < 224),
        Some(6) => packet.get(24).is_some_and(|first| *first != 0xff),
        _ => false,
    }
}
