//! A daemon of two tasks: one counts and fails at times, one says what the other is doing. End it with Ctrl-C.
use core_model::Backoff;
use daemon_kit::{Exit, Restart, Supervisor};
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let again = Restart::Backoff(Backoff {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(8),
    });
    let mut supervisor = Supervisor::new(Duration::from_secs(5));
    let states = supervisor.states();
    supervisor.spawn("count", again, |stop| async move {
        for number in 1..=3 {
            println!("{number}");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(Duration::from_millis(300)) => {}
            }
        }
        Err(std::io::Error::other("cannot count any further"))
    });
    supervisor.spawn("tell", Restart::Never, move |stop| {
        let states = states.clone();
        async move {
            while !stop.is_cancelled() {
                println!(
                    "count: {}",
                    states.get("count").map(|state| state.to_string()).unwrap_or_default()
                );
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(Duration::from_secs(1)) => {}
                }
            }
            Ok::<(), Infallible>(())
        }
    });
    match supervisor.join().await {
        Ok(stopped) => {
            println!("{stopped:?}");
            Exit::Done
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Environment
        }
    }
}
