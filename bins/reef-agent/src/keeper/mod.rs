//! Whether clamd is there, what it judges by, and whether it detects: known at any moment, and cheaply.
//!
//! Presence is a PING on a connection of its own, which clamd answers at once however much it scans. STATS waits for one of
//! its threads, so it has a time limit of its own and no part in health.
mod canary;
mod database;
mod health;
mod limits;
mod state;
#[cfg(test)]
mod tests;
mod watching;

pub(crate) use canary::{Canary, CanaryOutcome, is_found};
pub(crate) use database::DatabaseFiles;
pub(crate) use health::{clamd_block, signatures_block};
pub(crate) use limits::{Looked, MOST_PROVED, look, say, socket};
pub(crate) use state::{Activity, ClamdState, Presence};

use crate::settings::{CanarySettings, ClamdSettings};
use clamd_proto::{Daemon, Endpoint, ParseEndpointError, Timeouts};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Between two PINGs while nothing is scanned. With VERSION and STATS once a minute this is all that an idle agent costs.
const IDLE_PING: Duration = Duration::from_secs(15);
/// Between two PINGs while something is: that clamd is gone is to be known within a second.
const BUSY_PING: Duration = Duration::from_millis(500);
/// Between two PINGs while clamd is away: whoever waits for it is to go on soon.
const AWAY_PING: Duration = Duration::from_secs(1);
/// Single commands. PING and VERSION are answered at once, unless clamd does not come to its connections.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(5),
    stats: Duration::from_secs(60),
    tree: Duration::from_secs(60),
};

/// What is to be known of a clamd to keep an eye on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeeperSettings {
    pub(crate) endpoint: Endpoint,
    /// The longest file that it is said to look at, in bytes.
    pub(crate) max_file_size: u64,
    /// Where its signatures lie, if this machine can read them.
    pub(crate) database_directory: Option<PathBuf>,
    pub(crate) canary: CanarySettings,
}

impl KeeperSettings {
    /// Of the configuration's sections.
    ///
    /// # Errors
    /// When the endpoint is none, which the check of the configuration reports with its place.
    pub(crate) fn new(clamd: &ClamdSettings, canary: &CanarySettings) -> Result<Self, ParseEndpointError> {
        Ok(Self {
            endpoint: clamd.endpoint.parse()?,
            max_file_size: clamd.max_file_size.bytes(),
            database_directory: clamd.database_directory.clone(),
            canary: canary.clone(),
        })
    }

    fn daemon(&self) -> Daemon {
        Daemon::new(self.endpoint.clone()).timeouts(TIMEOUTS)
    }
}

/// Keeps an eye on clamd: [`Keeper::run`] is its work.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    settings: watch::Receiver<KeeperSettings>,
}

/// What others know of clamd through its keeper, and tell it. Clones are the same.
#[derive(Clone)]
pub(crate) struct KeeperHandle {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Sender<ClamdState>,
    /// Scans under way.
    busy: AtomicUsize,
    /// Somebody has a reason to look at once.
    look: Notify,
    /// How many canaries were asked for.
    asked: watch::Sender<u64>,
    /// Those that have been answered.
    answered: watch::Sender<u64>,
    /// False once the keeper has ended, until it is run again.
    is_running: watch::Sender<bool>,
    /// clamd may be another one, by another configuration: its limits are to be tried.
    limits_due: AtomicBool,
}

/// While it is held, something is scanned.
pub(crate) struct Busy(Arc<Shared>);

impl Keeper {
    /// Nothing is asked before [`Keeper::run`]. Settings that change count at once.
    pub(crate) fn new(settings: watch::Receiver<KeeperSettings>) -> (Self, KeeperHandle) {
        let shared = Arc::new(Shared {
            state: watch::Sender::new(ClamdState::new(settings.borrow().endpoint.clone())),
            busy: AtomicUsize::new(0),
            look: Notify::new(),
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            is_running: watch::Sender::new(true),
            limits_due: AtomicBool::new(true),
        });
        let handle = KeeperHandle {
            shared: Arc::clone(&shared),
        };
        (Self { shared, settings }, handle)
    }

    /// Works until `stop`. One that has ended, by `stop` or by a panic, can be run again: it goes by what is known, and looks
    /// at clamd anew.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let _running = Running::begin(&self.shared.is_running);
        let of = || self.settings.clone();
        let (presence, activity, canary) = (of(), of(), of());
        let work = async {
            tokio::join!(
                watching::presence(&self.shared, presence),
                watching::activity(&self.shared, activity),
                watching::canaries(&self.shared, canary),
            )
        };
        stop.run_until_cancelled(work).await;
    }
}

/// Says that the keeper runs, until it is dropped: also when it is dropped by a panic, so that nobody waits for an answer
/// which does not come.
struct Running<'k>(&'k watch::Sender<bool>);

impl<'k> Running<'k> {
    fn begin(is_running: &'k watch::Sender<bool>) -> Self {
        is_running.send_replace(true);
        Self(is_running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl KeeperHandle {
    /// What is known of clamd, now and whenever it changes.
    pub(crate) fn state(&self) -> watch::Receiver<ClamdState> {
        self.shared.state.subscribe()
    }

    /// Something is scanned until the guard is dropped: clamd is looked at twice a second.
    pub(crate) fn busy(&self) -> Busy {
        if self.shared.busy.fetch_add(1, Ordering::Relaxed) == 0 {
            self.shared.look.notify_one();
        }
        Busy(Arc::clone(&self.shared))
    }

    /// A connection to clamd failed elsewhere: it is looked at once, and whether it is still the same.
    pub(crate) fn connection_failed(&self) {
        self.shared.look.notify_one();
    }

    /// A test file that somebody else sent was not found: one is sent at once, and then often until it is.
    pub(crate) fn missed_elsewhere(&self) {
        self.shared.ask_canary();
    }

    /// Has clamd tried now, as after its signatures were loaded anew; what came of it. `None` where canaries are switched
    /// off, and when the keeper has ended.
    pub(crate) async fn canary(&self) -> Option<Canary> {
        let number = self.shared.ask_canary();
        let mut answered = self.shared.answered.subscribe();
        let mut running = self.shared.is_running.subscribe();
        tokio::select! {
            answered = answered.wait_for(|answered| *answered >= number) => answered.is_ok(),
            _ = running.wait_for(|running| !running) => false,
        }
        .then(|| self.shared.state.borrow().canary.clone())?
    }
}

impl Shared {
    /// Has a canary sent as soon as may be; its number.
    fn ask_canary(&self) -> u64 {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        number
    }

    fn ping_interval(&self) -> Duration {
        if self.busy.load(Ordering::Relaxed) > 0 {
            BUSY_PING
        } else if self.state.borrow().is_up() {
            IDLE_PING
        } else {
            AWAY_PING
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
