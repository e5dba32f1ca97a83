//! Work that is done again and again, at an interval that may change.

use std::{
    fmt,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// A machine that sleeps stops the clock that timers run by. Looking at the other one this often bounds how late the
/// work is after it wakes.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Work that is done again and again. What is due is counted from the start of the last run, so neither the length of a
/// run nor a new interval puts the next one off; a run that takes longer than the interval is followed by the next at
/// once, never by several. An interval of zero means never, until another is set.
///
/// Time spent asleep counts: due is what is due by the wall clock or by the clock of timers, whichever says so first, so
/// a wall clock that is set back delays nothing either.
///
/// ```
/// use daemon_kit::Every;
/// use std::time::{Duration, SystemTime};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let stop = CancellationToken::new();
/// let mut runs = 0;
/// let backup = Every::new(Duration::from_secs(24 * 3600));
/// backup.run(&stop, || {
///     runs += 1;
///     let is_enough = runs == 3;
///     let stop = stop.clone();
///     async move {
///         if is_enough {
///             stop.cancel();
///         }
///     }
/// }).await;
/// assert_eq!(runs, 3);
/// # }
/// ```
pub struct Every<T = Duration> {
    live: watch::Receiver<T>,
    interval: Box<dyn Fn(&T) -> Duration + Send + Sync>,
    last: Option<SystemTime>,
    now: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

impl<T: fmt::Debug> fmt::Debug for Every<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Every")
            .field("live", &self.live)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Every {
    /// Every `interval`, the first time at once.
    pub fn new(interval: Duration) -> Self {
        // Nobody holds the sending side: it stays as it is.
        Self::live(watch::channel(interval).1, |interval| *interval)
    }
}

impl<T> Every<T> {
    /// At the interval that `interval` reads out of the value of `live`, the first time at once. A change counts at once.
    pub fn live(live: watch::Receiver<T>, interval: impl Fn(&T) -> Duration + Send + Sync + 'static) -> Self {
        Self {
            live,
            interval: Box::new(interval),
            last: None,
            now: Box::new(SystemTime::now),
        }
    }

    /// The last run began then, perhaps in an earlier process: the first is due an interval later. One that lies in the
    /// future cannot be right and counts as none.
    #[must_use]
    pub fn after(mut self, last: Option<SystemTime>) -> Self {
        self.last = last;
        self
    }

    /// Takes the wall clock's time from `now`.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.now = Box::new(now);
        self
    }

    /// Does `work` whenever it is due, until `stop` is cancelled. A run under way is finished first: it looks at its own
    /// token where it takes long.
    pub async fn run<F: Future<Output = ()>>(mut self, stop: &CancellationToken, mut work: impl FnMut() -> F) {
        let mut last = self.last.and_then(|last| {
            let ago = (self.now)().duration_since(last).ok()?;
            Some((last, Instant::now(), ago))
        });
        loop {
            let interval = (self.interval)(&self.live.borrow_and_update());
            let wait = match last {
                _ if interval.is_zero() => None,
                None => Some(Duration::ZERO),
                Some((at, instant, before)) => {
                    let by_wall = (self.now)().duration_since(at).unwrap_or(Duration::ZERO);
                    let by_timer = instant.elapsed().saturating_add(before);
                    Some(interval.saturating_sub(by_wall.max(by_timer)))
                }
            };
            if wait == Some(Duration::ZERO) {
                if stop.is_cancelled() {
                    return;
                }
                last = Some(((self.now)(), Instant::now(), Duration::ZERO));
                work().await;
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = changed(&mut self.live) => {}
                () = time::sleep(wait.map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY))) => {}
            }
        }
    }
}

async fn changed<T>(live: &mut watch::Receiver<T>) {
    if live.changed().await.is_err() {
        std::future::pending().await
    }
}
