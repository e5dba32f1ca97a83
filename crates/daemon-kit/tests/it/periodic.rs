//! Work at intervals, on tokio's paused clock. The wall clock follows it, and is set where a test says so.
use daemon_kit::{Every, Restart, Supervisor};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + 500_000 * HOUR
}

/// A wall clock that shows the paused clock's time, off by what the test says.
#[derive(Clone)]
struct Wall {
    begun: Instant,
    off: Arc<AtomicI64>,
}

impl Wall {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            off: Arc::default(),
        }
    }

    fn set_off(&self, seconds: i64) {
        self.off.store(seconds, Ordering::Relaxed);
    }

    fn now(&self) -> SystemTime {
        let off = self.off.load(Ordering::Relaxed);
        let shown = epoch() + self.begun.elapsed();
        if off < 0 {
            shown - Duration::from_secs(off.unsigned_abs())
        } else {
            shown + Duration::from_secs(off.unsigned_abs())
        }
    }
}

/// Runs until `until`; the times of the runs since the beginning, in minutes.
async fn runs<T>(every: Every<T>, wall: &Wall, until: Duration, takes: Duration) -> Vec<u64> {
    let (stop, clock) = (CancellationToken::new(), wall.clone());
    let begun = wall.begun;
    let mut seen = Vec::new();
    let every = every.with_clock(move || clock.now());
    let work = every.run(&stop, || {
        seen.push(begun.elapsed().as_secs() / 60);
        sleep(takes)
    });
    tokio::join!(work, async {
        sleep(until).await;
        stop.cancel();
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn due_is_counted_from_the_start_of_the_last_run() {
    let wall = Wall::new();
    assert_eq!(
        runs(Every::new(HOUR), &wall, 3 * HOUR + MINUTE, 20 * MINUTE).await,
        [0, 60, 120, 180]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_longer_than_the_interval_is_followed_at_once_and_once() {
    let wall = Wall::new();
    assert_eq!(
        runs(Every::new(HOUR), &wall, 5 * HOUR + MINUTE, 150 * MINUTE).await,
        [0, 150, 300]
    );
}

#[tokio::test(start_paused = true)]
async fn an_earlier_process_counts() {
    let ago = |minutes: u32| Some(epoch() - minutes * MINUTE);
    for (last, expected) in [
        (ago(45), vec![15, 75]),
        (ago(600), vec![0, 60]),
        // A clock that was wrong then.
        (Some(epoch() + HOUR), vec![0, 60]),
    ] {
        let wall = Wall::new();
        let every = Every::new(HOUR).after(last);
        assert_eq!(
            runs(every, &wall, 90 * MINUTE, Duration::ZERO).await,
            expected,
            "{last:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn time_spent_asleep_counts() {
    let wall = Wall::new();
    let asleep = wall.clone();
    let (seen, ()) = tokio::join!(runs(Every::new(24 * HOUR), &wall, 2 * HOUR, Duration::ZERO), async {
        sleep(90 * MINUTE + Duration::from_secs(30)).await;
        // The machine slept for a day: the clock of timers stood still.
        asleep.set_off(24 * 3600);
    });
    assert_eq!(seen, [0, 91]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_delays_nothing() {
    let wall = Wall::new();
    let back = wall.clone();
    let (seen, ()) = tokio::join!(runs(Every::new(HOUR), &wall, 130 * MINUTE, Duration::ZERO), async {
        sleep(10 * MINUTE).await;
        back.set_off(-7 * 24 * 3600);
    });
    assert_eq!(seen, [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn a_new_interval_counts_at_once_and_from_the_last_run() {
    let (set, live) = watch::channel(24 * HOUR);
    let wall = Wall::new();
    let every = Every::live(live, |interval| *interval);
    let (seen, ()) = tokio::join!(runs(every, &wall, 5 * HOUR, Duration::ZERO), async {
        sleep(90 * MINUTE).await;
        set.send(2 * HOUR).unwrap();
        sleep(60 * MINUTE).await;
        // At 150 minutes the last run was at 120: due at once would be wrong, and so would two hours from now.
        set.send(HOUR).unwrap();
        sleep(31 * MINUTE).await;
        set.send(Duration::ZERO).unwrap();
    });
    assert_eq!(seen, [0, 120, 180], "and never again at an interval of zero");
}

#[tokio::test(start_paused = true)]
async fn it_goes_into_a_supervised_task() {
    let seen = Arc::new(Mutex::new(0));
    let mut supervisor = Supervisor::new(MINUTE);
    let count = Arc::clone(&seen);
    let all = supervisor.stop();
    supervisor.spawn("backup", Restart::Never, move |stop| {
        let (count, all) = (Arc::clone(&count), all.clone());
        async move {
            let work = || {
                let (count, all) = (Arc::clone(&count), all.clone());
                async move {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    if *count == 4 {
                        all.cancel();
                    }
                }
            };
            Every::new(HOUR).run(&stop, work).await;
            Ok::<(), Infallible>(())
        }
    });
    let begun = Instant::now();
    supervisor.join_on(async || std::future::pending().await).await.unwrap();
    assert_eq!((*seen.lock().unwrap(), begun.elapsed()), (4, 3 * HOUR));
}
