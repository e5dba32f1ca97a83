//! A daemon of two tasks: one counts and fails at times, one says what the other is doing, to whoever looks and to the
//! service manager. It is ready once it has counted. End it with Ctrl-C.
use core_model::Backoff;
use daemon_kit::{Exit, Restart, RuntimeSettings, Signals, Supervisor, log_panics, run};
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

fn main() -> Exit {
    log_panics();
    run(RuntimeSettings::default(), daemon()).unwrap_or_else(|error| Exit::of_failure(&error))
}

async fn daemon() -> anyhow::Result<Exit> {
    let again = Restart::Backoff(Backoff {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(8),
    });
    let signals = Signals::take()?;
    let mut supervisor = Supervisor::new(Duration::from_secs(5));
    let (states, ready, status) = (
        supervisor.states(),
        supervisor.ready_handle(),
        supervisor.status_handle(),
    );
    supervisor.spawn("count", again, move |stop| {
        let ready = ready.clone();
        async move {
            for number in 1..=3 {
                println!("{number}");
                ready.ready();
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = sleep(Duration::from_millis(300)) => {}
                }
            }
            Err(std::io::Error::other("cannot count any further"))
        }
    });
    supervisor.spawn("tell", Restart::Never, move |stop| {
        let (states, status) = (states.clone(), status.clone());
        async move {
            while !stop.is_cancelled() {
                let state = states.get("count").map(|state| state.to_string()).unwrap_or_default();
                println!("count: {state}");
                status.set(format!("count: {state}"));
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(Duration::from_secs(1)) => {}
                }
            }
            Ok::<(), Infallible>(())
        }
    });
    let stopped = supervisor.join(signals).await?;
    println!("{stopped:?}");
    Ok(Exit::Done)
}
