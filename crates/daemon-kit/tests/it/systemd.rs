//! What a service manager hears: this test binary, started anew under a manager's socket.
use daemon_kit::{Restart, Supervisor};
use std::{convert::Infallible, os::unix::net::UnixDatagram, process::Command, time::Duration};

const ROLE: &str = "DAEMON_KIT_TEST_NOTIFY";

/// The service. It does nothing when the tests run as usual.
#[tokio::test]
async fn as_a_service() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut supervisor = Supervisor::new(Duration::from_secs(60));
    let stop = supervisor.stop();
    supervisor.spawn("work", Restart::Never, move |_| {
        let stop = stop.clone();
        async move {
            // Ends when the manager of this test says so: by a line on standard input.
            tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
                .await
                .unwrap()
                .unwrap();
            stop.cancel();
            Ok::<(), Infallible>(())
        }
    });
    supervisor.join().await.unwrap();
    std::process::exit(0);
}

#[test]
fn the_manager_hears_ready_alive_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut service = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "systemd::as_a_service"])
        .env(ROLE, "1")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let heard = || {
        let mut line = [0; 64];
        let length = manager.recv(&mut line).unwrap();
        String::from_utf8_lossy(&line[..length]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    assert_eq!(heard(), "WATCHDOG=1");
    assert_eq!(heard(), "WATCHDOG=1");
    drop(service.stdin.take());
    while heard() != "STOPPING=1" {}
    assert!(service.wait().unwrap().success());
}
