//! All sockets of this process: how many there may be, and their common end.
use chrono::Utc;
use fleet_core::{Fleet, Store};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How often it is looked whether something waits for an agent that nobody nudged for. Whatever is sent through this
/// process nudges.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What can be set about the agent link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// The longest message, in bytes.
    pub max_message: usize,
    /// How often a heartbeat is wanted.
    pub heartbeat: Duration,
    /// How often a sample of the host is wanted; zero: never.
    pub telemetry: Duration,
    /// A socket on which nothing came for so long is closed. It is pinged before that.
    pub stale_after: Duration,
    /// How long an agent may take to say HELLO, and a message to be taken by its system.
    pub patience: Duration,
    /// So many sockets may be open.
    pub max_sockets: usize,
    /// So many agents are let in at the same time; the others wait.
    pub handshakes: usize,
    /// So many messages a second are read from one agent, and so many at once after a pause.
    pub messages_per_second: u32,
    /// See `messages_per_second`.
    pub burst: u32,
    /// Agents that are sent away come back within this, each at an instant of its own.
    pub come_back_within: Duration,
    /// How often an agent without a socket asks.
    pub poll_after: Duration,
}

impl Default for LinkSettings {
    /// 1 MiB; a heartbeat each 30 s, a sample each minute; stale after 90 s; 10 s of patience; 10,000 sockets, 256 let in
    /// at a time; 20 messages a second, 200 at once; back within 10 s; a poll each 15 s.
    fn default() -> Self {
        Self {
            max_message: 1 << 20,
            heartbeat: Duration::from_secs(30),
            telemetry: Duration::from_secs(60),
            stale_after: Duration::from_secs(90),
            patience: Duration::from_secs(10),
            max_sockets: 10_000,
            handshakes: 256,
            messages_per_second: 20,
            burst: 200,
            come_back_within: Duration::from_secs(10),
            poll_after: Duration::from_secs(15),
        }
    }
}

/// How often an agent is wanted to be heard of: by a heartbeat, by a sample of the host.
pub(super) type Rhythm = (Duration, Duration);

impl LinkSettings {
    pub(super) const fn rhythm(&self) -> Rhythm {
        (self.heartbeat, self.telemetry)
    }
}

/// The sockets of agents. Clones are the same.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

struct Inner {
    settings: watch::Sender<LinkSettings>,
    taken: AtomicUsize,
    handshakes: Arc<Semaphore>,
    open: TaskTracker,
    leaving: CancellationToken,
}

/// A socket's place among the others.
pub(super) struct Place {
    links: Links,
    _tracked: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.links.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Links {
    /// None yet.
    pub fn new(settings: LinkSettings) -> Self {
        Self(Arc::new(Inner {
            settings: watch::Sender::new(settings),
            taken: AtomicUsize::new(0),
            handshakes: Arc::new(Semaphore::new(settings.handshakes.clamp(1, Semaphore::MAX_PERMITS))),
            open: TaskTracker::new(),
            leaving: CancellationToken::new(),
        }))
    }

    /// The settings now.
    pub fn settings(&self) -> LinkSettings {
        *self.0.settings.borrow()
    }

    /// Goes by other settings from now on, but for `handshakes`, which stays as it was at the start. Agents on a socket are
    /// told at once how often to be heard of; where fewer sockets may be open than are, those that are stay.
    pub fn set(&self, settings: LinkSettings) {
        self.0.settings.send_if_modified(|current| {
            let is_other = *current != settings;
            *current = settings;
            is_other
        });
    }

    /// The settings for who waits for changes.
    pub(super) fn changes(&self) -> watch::Receiver<LinkSettings> {
        self.0.settings.subscribe()
    }

    /// Open sockets.
    pub fn open(&self) -> usize {
        self.0.open.len()
    }

    /// Looks after the link until `stop`; then sends every agent away, each to come back at an instant of its own, and
    /// ends when all sockets are closed. Whoever runs it bounds how long that may take.
    pub async fn run<S: Store>(&self, fleet: &Fleet<S>, stop: CancellationToken) {
        while stop.run_until_cancelled(time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(error) = fleet.wake_awaited(Utc::now()).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the store could not be asked who waits"
                );
            }
        }
        self.0.leaving.cancel();
        self.0.open.close();
        self.0.open.wait().await;
    }

    /// Whether agents are sent away.
    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.is_cancelled()
    }

    /// Waits until agents are sent away.
    pub(super) async fn leaving(&self) {
        self.0.leaving.cancelled().await;
    }

    /// A place for a socket, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        if self.is_leaving() {
            return None;
        }
        let most = self.settings().max_sockets;
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = &self.0.taken;
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Place {
            links: self.clone(),
            _tracked: self.0.open.token(),
        })
    }

    /// Waits for the turn to be let in. The semaphore is never closed, so it comes.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.handshakes).acquire_owned().await.ok()
    }
}
