//! The supervisor on tokio's paused clock.
use core_model::Backoff;
use daemon_kit::{Cause, Restart, Signal, SuperviseError, Supervisor, TaskState};
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use transport_http::{HealthRegistry, Status};

const SECOND: Duration = Duration::from_secs(1);

const AGAIN: Restart = Restart::Backoff(Backoff {
    first: SECOND,
    longest: Duration::from_secs(60),
});

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct Gone;

async fn never() -> Signal {
    pending().await
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_essential_task_stops_the_others() {
    let mut supervisor = Supervisor::new(SECOND);
    let states = supervisor.states();
    supervisor.spawn("serve", Restart::Never, |stop| async move {
        stop.cancelled().await;
        Ok::<(), Infallible>(())
    });
    supervisor.spawn("scan", Restart::Never, |_| async { Err::<(), _>(Gone) });
    let error = supervisor.join_on(never).await.unwrap_err();
    assert!(
        matches!(&error, SuperviseError::Failed { task, .. } if task == "scan"),
        "{error}"
    );
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "the disk is gone"
    );
    assert_eq!(states.get("serve"), Some(TaskState::Done));
    assert!(!states.get("scan").unwrap().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_told_and_restarted_with_growing_waits() {
    let starts = Arc::new(AtomicU32::new(0));
    let mut supervisor = Supervisor::new(SECOND);
    let states = supervisor.states();
    let (count, seen) = (Arc::clone(&starts), states.clone());
    let begun = Instant::now();
    supervisor.spawn("watch", AGAIN, move |_| {
        let (start, seen) = (count.fetch_add(1, Ordering::Relaxed), seen.clone());
        async move {
            match start {
                0 => panic!("first"),
                1 => panic!("number {}", 2),
                2 => {
                    assert_eq!(seen.get("watch"), Some(TaskState::Running));
                    Err(Gone)
                }
                _ => Ok(()),
            }
        }
    });
    let watched = states.clone();
    supervisor.spawn("look", AGAIN, move |_| {
        let states = watched.clone();
        async move {
            sleep(Duration::from_millis(1500)).await;
            let Some(TaskState::Waiting { error, wait, failures }) = states.get("watch") else {
                panic!("not waiting");
            };
            assert_eq!((error.as_str(), wait, failures), ("panicked: number 2", 2 * SECOND, 2));
            Ok::<(), Infallible>(())
        }
    });
    let stopped = supervisor.join_on(never).await.unwrap();
    assert_eq!(stopped.cause, Cause::AllDone);
    assert_eq!(starts.load(Ordering::Relaxed), 4);
    assert_eq!(begun.elapsed(), 7 * SECOND, "1 + 2 + 4 s");
    assert_eq!(states.get("look"), Some(TaskState::Done));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_task_is_made_is_its_own() {
    let mut supervisor = Supervisor::new(SECOND);
    let mut starts = 0;
    supervisor.spawn("make", AGAIN, move |_| {
        starts += 1;
        assert!(starts > 1, "not yet");
        async { Ok::<(), Infallible>(()) }
    });
    assert_eq!(supervisor.join_on(never).await.unwrap().cause, Cause::AllDone);
}

#[tokio::test(start_paused = true)]
async fn a_long_good_run_forgives_earlier_failures() {
    let mut supervisor = Supervisor::new(SECOND);
    let states = supervisor.states();
    let starts = AtomicU32::new(0);
    supervisor.spawn("flaky", AGAIN, move |_| {
        let start = starts.fetch_add(1, Ordering::Relaxed);
        async move {
            match start {
                // 1 s, 2 s, 4 s of waiting, then two minutes of work.
                0..=2 => Err(Gone),
                3 => {
                    sleep(Duration::from_secs(120)).await;
                    Err(Gone)
                }
                _ => pending().await,
            }
        }
    });
    let stop = supervisor.stop();
    let watched = states.clone();
    supervisor.spawn("look", AGAIN, move |_| {
        let (states, stop) = (watched.clone(), stop.clone());
        async move {
            sleep(Duration::from_millis(127_500)).await;
            assert!(
                matches!(states.get("flaky"), Some(TaskState::Waiting { failures: 1, .. })),
                "{states:?}"
            );
            stop.cancel();
            Ok::<(), Infallible>(())
        }
    });
    assert_eq!(supervisor.join_on(never).await.unwrap().cause, Cause::Asked);
}

#[tokio::test(start_paused = true)]
async fn a_signal_stops_all_within_the_grace_period_and_names_the_deaf() {
    let mut supervisor = Supervisor::new(10 * SECOND);
    supervisor.spawn("polite", AGAIN, |stop| async move {
        stop.cancelled().await;
        sleep(3 * SECOND).await;
        Ok::<(), Infallible>(())
    });
    supervisor.spawn("waiting", AGAIN, |_| async { Err::<(), _>(Gone) });
    for name in ["deaf-2", "deaf-1"] {
        supervisor.spawn(name, Restart::Never, |_| async {
            pending::<()>().await;
            Ok::<(), Infallible>(())
        });
    }
    let (send, mut signals) = mpsc::channel(2);
    send.send(Signal::Terminate).await.unwrap();
    let begun = Instant::now();
    let stopped = supervisor
        .join_on(async || signals.recv().await.unwrap())
        .await
        .unwrap();
    assert_eq!(stopped.cause, Cause::Signal(Signal::Terminate));
    assert_eq!(stopped.aborted, ["deaf-1", "deaf-2"]);
    assert_eq!(begun.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_wait() {
    let mut supervisor = Supervisor::new(10 * SECOND);
    supervisor.spawn("deaf", Restart::Never, |_| async {
        pending::<()>().await;
        Ok::<(), Infallible>(())
    });
    let (send, mut signals) = mpsc::channel(2);
    send.send(Signal::Terminate).await.unwrap();
    send.send(Signal::Interrupt).await.unwrap();
    let begun = Instant::now();
    let error = supervisor
        .join_on(async || signals.recv().await.unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, SuperviseError::Impatient(Signal::Interrupt)), "{error}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_tasks_there_is_nothing_to_wait_for() {
    assert_eq!(
        Supervisor::new(SECOND).join_on(never).await.unwrap().cause,
        Cause::AllDone
    );
}

#[tokio::test(start_paused = true)]
async fn the_health_report_shows_every_task() {
    let health = HealthRegistry::new("1.0.0", None);
    let mut supervisor = Supervisor::new(SECOND);
    supervisor.states().report_to(&health);
    supervisor.spawn("good", AGAIN, |stop| async move {
        stop.cancelled().await;
        Ok::<(), Infallible>(())
    });
    let (stop, seen) = (supervisor.stop(), health.clone());
    supervisor.spawn("bad", AGAIN, |_| async { Err::<(), _>(Gone) });
    supervisor.spawn("look", AGAIN, move |_| {
        let (stop, seen) = (stop.clone(), seen.clone());
        async move {
            sleep(SECOND / 2).await;
            assert_eq!(seen.status(), Status::Degraded, "one waits to start again");
            stop.cancel();
            Ok::<(), Infallible>(())
        }
    });
    assert_eq!(health.status(), Status::Healthy, "all have just begun");
    supervisor.join_on(never).await.unwrap();
    assert_eq!(health.status(), Status::Healthy, "all are done");
}
