//! What tasks have the service manager told, and the loop that tells it.

use crate::systemd::ServiceManager;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// The longest status text that is told, in characters.
const LONGEST_STATUS: usize = 200;

/// Counters change a thousand times a second, and nobody reads a status line so fast.
const BETWEEN_STATUSES: Duration = Duration::from_secs(1);

/// How long the service manager waits beyond the grace period, for the end of the process itself.
const AFTER_GRACE: Duration = Duration::from_secs(10);

/// Says that the process can do its work. Clones say the same.
#[derive(Clone, Debug)]
pub struct ReadyHandle(CancellationToken);

impl ReadyHandle {
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self(token)
    }

    /// The process is ready. Saying it again changes nothing.
    pub fn ready(&self) {
        self.0.cancel();
    }
}

/// Says in a line what the process is doing, for `systemctl status`. Clones say it in the same place.
#[derive(Clone, Debug)]
pub struct StatusHandle(watch::Sender<String>);

impl StatusHandle {
    pub(crate) fn new(status: watch::Sender<String>) -> Self {
        Self(status)
    }

    /// The text from now on. Only the latest of a second is told, so it may be called as often as one likes. Control
    /// characters become spaces: a line break would begin another message.
    pub fn set(&self, text: impl AsRef<str>) {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = text.as_ref().chars().take(LONGEST_STATUS).map(plain).collect();
        self.0.send_if_modified(|status| {
            let is_new = *status != text;
            *status = text;
            is_new
        });
    }
}

/// Tells the service manager. It is run by the supervisor's own loop and by no task of its own: a supervisor that is
/// stuck must not look alive.
#[derive(Debug)]
pub(crate) struct Reporter {
    manager: ServiceManager,
    ready: CancellationToken,
    is_ready_told: bool,
    status: watch::Receiver<String>,
    next_status: Instant,
    alive: Option<time::Interval>,
}

impl Reporter {
    pub(crate) fn new(ready: CancellationToken, mut status: watch::Receiver<String>) -> Self {
        // What was said before anybody listened counts too.
        if !status.borrow().is_empty() {
            status.mark_changed();
        }
        let manager = ServiceManager::of_this_process();
        let alive = manager.watchdog_interval().map(|interval| {
            let mut alive = time::interval(interval);
            // After a halt one sign of life is true, and a burst of them is noise.
            alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
            alive
        });
        let mut reporter = Self {
            manager,
            ready,
            is_ready_told: false,
            status,
            next_status: Instant::now(),
            alive,
        };
        if reporter.ready.is_cancelled() {
            reporter.tell_ready();
        }
        reporter
    }

    /// Waits until there is something to tell, and tells it. Cancelling it loses nothing.
    pub(crate) async fn turn(&mut self) {
        tokio::select! {
            biased;
            () = tick(&mut self.alive) => self.manager.tell("WATCHDOG=1"),
            () = self.ready.cancelled(), if !self.is_ready_told => self.tell_ready(),
            () = changed(&mut self.status, self.next_status) => {
                let status = self.status.borrow_and_update().clone();
                self.manager.tell(&format!("STATUS={status}"));
                self.next_status = Instant::now() + BETWEEN_STATUSES;
            }
        }
    }

    /// The process ends within `grace`, which may be longer than the manager would wait.
    pub(crate) fn stopping(&mut self, grace: Duration) {
        // Whoever is stopping has no more use for being found ready.
        self.is_ready_told = true;
        self.manager.tell("STOPPING=1");
        self.manager.tell("STATUS=stopping");
        let wait = grace.saturating_add(AFTER_GRACE).as_micros();
        self.manager.tell(&format!("EXTEND_TIMEOUT_USEC={wait}"));
    }

    fn tell_ready(&mut self) {
        self.manager.tell("READY=1");
        self.is_ready_told = true;
    }
}

async fn tick(interval: &mut Option<time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn changed(status: &mut watch::Receiver<String>, earliest: Instant) {
    time::sleep_until(earliest).await;
    if status.changed().await.is_err() {
        std::future::pending().await
    }
}
