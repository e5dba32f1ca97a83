//! What all handles of one outbox share in memory.
use super::{Bounds, ResyncReason};
use crate::{
    ballast::Ballast,
    files::{BALLAST, MARK, beside},
    mark::Mark,
};
use core_model::StreamId;
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// The longest that a writer waits for room without looking whether it is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Shared by all clones of a [`Database`](crate::Database).
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mark: Mark,
    pub(crate) ballast: Ballast,
    bounds: Mutex<Bounds>,
    stop: Mutex<Option<Stop>>,
    stream: Mutex<Option<StreamId>>,
    pending: Mutex<Pending>,
    rolled_back: Mutex<Option<String>>,
    is_short: AtomicBool,
    room: Mutex<u64>,
    made_room: Condvar,
    waiting: AtomicUsize,
}

/// What is still to be stored, or to be told from other runs when it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    /// Runs that were acknowledged while the disk was full: records and bytes by first number.
    pub(crate) acks: BTreeMap<u64, (u64, u64)>,
    /// Runs that were found damaged and not acknowledged yet: records by first number.
    pub(crate) damaged: BTreeMap<u64, u64>,
    /// A resync that could not be asked for in the file yet.
    pub(crate) resync: Option<(ResyncReason, String)>,
}

struct Stop(Box<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // None of these values can be left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            mark: Mark::new(beside(path, MARK)),
            ballast: Ballast::new(beside(path, BALLAST)),
            bounds: Mutex::default(),
            stop: Mutex::default(),
            stream: Mutex::default(),
            pending: Mutex::default(),
            rolled_back: Mutex::default(),
            is_short: AtomicBool::new(false),
            room: Mutex::default(),
            made_room: Condvar::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        *lock(&self.bounds)
    }

    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        *lock(&self.bounds) = bounds;
        self.wake();
    }

    pub(crate) fn set_stop(&self, stop: Box<dyn Fn() -> bool + Send + Sync>) {
        *lock(&self.stop) = Some(Stop(stop));
    }

    pub(crate) fn is_stopped(&self) -> bool {
        lock(&self.stop).as_ref().is_some_and(|stop| stop.0())
    }

    pub(crate) fn stream(&self) -> Option<StreamId> {
        *lock(&self.stream)
    }

    /// What the file says the stream is. What was noted of the runs of another has no meaning any more.
    pub(crate) fn set_stream(&self, stream: StreamId) {
        if lock(&self.stream).replace(stream) != Some(stream) {
            let mut pending = self.pending();
            pending.acks.clear();
            pending.damaged.clear();
        }
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// A resync is wanted, with the next change.
    pub(crate) fn want_later(&self, reason: ResyncReason, detail: String) {
        self.pending().resync.get_or_insert((reason, detail));
    }

    pub(crate) fn rolled_back(&self) -> Option<String> {
        lock(&self.rolled_back).clone()
    }

    pub(crate) fn set_rolled_back(&self, why: String) {
        *lock(&self.rolled_back) = Some(why);
    }

    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Relaxed)
    }

    /// The disk had no room for a change.
    pub(crate) fn was_short(&self) {
        if !self.is_short.swap(true, Relaxed) {
            tracing::error!("the disk of the state is full: what is new is refused until there is room");
        }
    }

    /// The disk may have room again: it has when it takes a new ballast.
    pub(crate) fn may_have_room(&self) {
        if !self.is_short() {
            return;
        }
        match self.ballast.make() {
            Ok(()) => {
                self.is_short.store(false, Relaxed);
                tracing::info!("the disk of the state has room again");
            }
            Err(error) => tracing::debug!(%error, "the disk of the state has no room for the ballast yet"),
        }
    }

    /// How often room was made so far.
    pub(crate) fn room(&self) -> u64 {
        *lock(&self.room)
    }

    /// Room was made, or who waits for it should look again.
    pub(crate) fn wake(&self) {
        *lock(&self.room) += 1;
        self.made_room.notify_all();
    }

    /// Waits until room was made since `seen`, or it is time to look again.
    pub(crate) fn wait_for_room(&self, seen: u64) {
        self.waiting.fetch_add(1, Relaxed);
        let room = lock(&self.room);
        // That another process made room is noticed by looking, so it does not matter how the wait ended.
        drop(
            self.made_room
                .wait_timeout_while(room, LOOK_AGAIN, |room| *room == seen),
        );
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// Whether anybody waits for room.
    pub(crate) fn is_blocked(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}
