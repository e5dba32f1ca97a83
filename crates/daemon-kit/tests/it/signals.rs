//! Real signals to a real process: this test binary, started anew as a daemon that ends when it is told.
use daemon_kit::{Cause, Restart, Signal, Signals, Supervisor};
use std::{
    convert::Infallible,
    future::pending,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

const ROLE: &str = "DAEMON_KIT_TEST_ROLE";

/// The daemon. It does nothing when the tests run as usual.
#[tokio::test]
async fn as_a_child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let signals = Signals::take().unwrap();
    let mut supervisor = Supervisor::new(Duration::from_secs(3600));
    supervisor.spawn("work", Restart::Never, move |stop| {
        let is_deaf = role == "deaf";
        async move {
            stop.cancelled().await;
            println!("told");
            if is_deaf {
                pending::<()>().await;
            }
            Ok::<(), Infallible>(())
        }
    });
    // The task starts only when the supervisor waits.
    supervisor.spawn(
        "ready",
        Restart::Backoff(core_model::Backoff {
            first: Duration::ZERO,
            longest: Duration::ZERO,
        }),
        |_| async {
            println!("ready");
            Ok::<(), Infallible>(())
        },
    );
    let stopped = supervisor.join(signals).await.unwrap();
    assert_eq!(stopped.cause, Cause::Signal(Signal::Terminate));
    std::process::exit(0);
}

struct Daemon {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Daemon {
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "signals::as_a_child_process", "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut daemon = Self { child, lines };
        daemon.wait_for("ready");
        daemon
    }

    fn wait_for(&mut self, word: &str) {
        assert!(
            self.lines
                .by_ref()
                .map_while(Result::ok)
                .any(|line| line.ends_with(word)),
            "no `{word}`"
        );
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

#[test]
fn sigterm_ends_the_process_well() {
    let mut daemon = Daemon::start("polite");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut daemon = Daemon::start("deaf");
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait_for("told");
    daemon.signal(rustix::process::Signal::INT);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(130));
}
