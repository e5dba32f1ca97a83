//! What others hold of the engine.
use super::{
    core::{Core, Counters},
    engine::Engine,
    options::PingOptions,
    pinging::{Pinging, ask},
    report::Sample,
    run::{Asked, Run, Sink},
    wires::Wires,
};
use crate::{
    Failure, FailureKind,
    icmp::{Access, Tokens},
    one_host::is_one_host,
    socket::{Carrier, Plan},
};
use rustix::event::{EventfdFlags, eventfd};
use std::{
    hash::RandomState,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
};

/// How an engine works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingerOptions {
    /// So many probes a second are sent at the most, to all targets together; without a limit, as fast as the kernel takes them.
    pub rate: Option<u32>,
    /// Answers that nobody has read yet may take so many bytes of the kernel's memory, for each family; more are dropped, and
    /// told (see [`Trust`](crate::Trust)). An answer takes some 800. Beyond the limit of the system (`net.core.rmem_max`) that
    /// wants the right `CAP_NET_ADMIN`; without it, it is as much as the system allows.
    pub receive_buffer: usize,
    /// The address of this machine that probes are sent from; the one that its routes choose. Targets of the other version of IP cannot
    /// be reached then.
    pub source: Option<IpAddr>,
}

impl Default for PingerOptions {
    fn default() -> Self {
        Self {
            rate: None,
            receive_buffer: 32 << 20,
            source: None,
        }
    }
}

/// Pings any number of targets at once, over one socket a family.
///
/// One thread does all the work: a runtime that is busy makes no answer late. Dropping it ends the thread, and with it all runs.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use netcheck::ping::{Pinger, PingOptions, PingerOptions};
/// use std::time::Duration;
///
/// # if netcheck::icmp::access(false).is_err() { return Ok(()) }
/// let pinger = Pinger::start(PingerOptions::default())?;
/// let options = PingOptions { count: 3, interval: Duration::from_millis(10), ..PingOptions::default() };
/// let report = pinger.ping("127.0.0.1".parse().unwrap(), options).await;
/// assert_eq!((report.sent, report.lost), (3, 0), "{:?}", report.failure);
/// assert!(report.trust.is_full() || !report.trust.is_full());
/// # Ok::<(), netcheck::Failure>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Pinger {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    /// By which sort of socket each family is pinged, or why it is not.
    accesses: [Result<Access, Failure>; 2],
    source: Option<IpAddr>,
    thread: Option<JoinHandle<()>>,
}

/// What the engine is told.
pub(super) enum Command {
    Ping(Asked),
    WindDown,
    Stop,
}

/// What the engine shares with its holders.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bell: OwnedFd,
    pub(super) is_asleep: AtomicBool,
    /// Commands that were given since it looked last.
    pub(super) asked: AtomicUsize,
    pub(super) counters: Mutex<Counters>,
}

impl Pinger {
    /// Opens the sockets, in the network namespace of the calling thread, and starts the thread.
    ///
    /// # Errors
    /// When this process may send pings of neither family; the failure says how that is granted.
    pub fn start(options: PingerOptions) -> Result<Self, Failure> {
        let pinger = Self::start_anyway(options)?;
        match &pinger.accesses {
            // What is wrong with the source is told by its own version.
            [Err(_), Err(failure)] if options.source.is_some_and(|source| source.is_ipv6()) => Err(failure.clone()),
            [Err(failure), Err(_)] => Err(failure.clone()),
            _ => Ok(pinger),
        }
    }

    /// The same, also where no pings may be sent: probes by UDP can be.
    pub(crate) fn start_anyway(options: PingerOptions) -> Result<Self, Failure> {
        let mut magic = [0; 4];
        let mut id = [0; 2];
        let random = getrandom::fill(&mut magic).and_then(|()| getrandom::fill(&mut id));
        random.map_err(|error| {
            Failure::new(
                FailureKind::System,
                format!("the system gives no random bytes: {error}"),
            )
        })?;
        let PingerOptions {
            receive_buffer: buffer,
            source,
            ..
        } = options;
        let wires = Wires::open(Plan { magic, buffer, source });
        let accesses = wires.accesses.clone();
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Failure::of_io("open an event descriptor", &error.into()))?;
        let shared = Arc::new(Shared {
            bell,
            is_asleep: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            counters: Mutex::default(),
        });
        let tokens = Tokens::new(magic, RandomState::new());
        let known = accesses.each_ref().map(|access| access.as_ref().ok().copied());
        let core = Core::new(tokens, u16::from_be_bytes(id), known);
        let (commands, taken) = channel();
        let engine = Engine::new(core, wires, taken, Arc::clone(&shared), options.rate);
        let thread = thread::Builder::new()
            .name("ping".to_owned())
            .spawn(move || engine.run())
            .map_err(|error| Failure::of_io("start the thread for pings", &error))?;
        Ok(Self {
            shared,
            commands,
            accesses,
            source,
            thread: Some(thread),
        })
    }

    /// Pings a target, from now on; dropping what this gives ends the run.
    pub fn ping(&self, address: IpAddr, options: PingOptions) -> Pinging {
        self.begin(address, Carrier::Echo, 0, options, None)
    }

    /// The same; `see` hears of each probe as soon as it is known what became of it, on the engine's thread, which waits for it
    /// to return.
    pub fn watch(&self, address: IpAddr, options: PingOptions, see: impl FnMut(&Sample) + Send + 'static) -> Pinging {
        self.begin(address, Carrier::Echo, 0, options, Some(Box::new(see)))
    }

    /// Sends no more probes of the runs under way. Each ends when it is known what became of those that it has sent, and its
    /// report is of these; a run that has sent none has nothing to report, and no failure.
    pub fn wind_down(&self) {
        self.tell(Command::WindDown);
    }

    /// Sends probes as something else than pings, the first of them with that number on the wire. By UDP, no more than one at a time to
    /// a target from a port: routers that quote little of it do not tell them apart.
    pub(crate) fn probe(&self, address: IpAddr, carrier: Carrier, first: u16, options: PingOptions) -> Pinging {
        self.begin(address, carrier, first, options, None)
    }

    /// The address of this machine that probes are sent from, where one was given.
    pub(crate) const fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// By which sort of socket pings of a family are sent, or why they are not.
    pub(crate) fn access(&self, is_v6: bool) -> Result<Access, &Failure> {
        self.accesses[usize::from(is_v6)].as_ref().copied()
    }

    fn begin(
        &self,
        address: IpAddr,
        carrier: Carrier,
        first: u16,
        options: PingOptions,
        sink: Option<Sink>,
    ) -> Pinging {
        let (asked, pinging) = ask(Run::new(address, carrier, first, options, sink));
        match options.check().and_then(|()| is_one_host(address)) {
            Ok(()) => self.tell(Command::Ping(asked)),
            Err(failure) => asked.refuse(failure),
        }
        pinging
    }

    fn tell(&self, command: Command) {
        // An engine that is gone drops what it was told, and whoever waits for it hears that.
        let _told = self.commands.send(command);
        self.shared.asked.fetch_add(1, SeqCst);
        if self.shared.is_asleep.swap(false, SeqCst) {
            // The counter of the bell is full only if it was never heard.
            let _rung = rustix::io::write(&self.shared.bell, &1_u64.to_ne_bytes());
        }
    }

    /// What arrived and belongs to no run, since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ended = thread.join();
        }
    }
}
