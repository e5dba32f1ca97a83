//! What a service manager hears: this test binary, started anew under a manager's socket.
use daemon_kit::{Restart, Signals, Supervisor};
use std::{
    convert::Infallible,
    ffi::OsStr,
    io::Write,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

const ROLE: &str = "DAEMON_KIT_TEST_NOTIFY";

/// How often the service says that it is alive: half the time that the manager allows.
const INTERVAL: Duration = Duration::from_millis(10);

/// The next line that the test writes to the service's standard input; at its end none.
async fn told() -> Option<String> {
    let read = || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    };
    let line = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    (!line.is_empty()).then_some(line)
}

/// Says something on the manager's socket that a service does not say, to mark an instant.
fn mark(text: &str) {
    let path = std::env::var_os("NOTIFY_SOCKET").unwrap();
    UnixDatagram::unbound().unwrap().send_to(text.as_bytes(), path).unwrap();
}

/// The service. It does nothing when the tests run as usual.
#[tokio::test]
async fn as_a_service() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let signals = Signals::take().unwrap();
    let mut supervisor = Supervisor::new(Duration::from_secs(60));
    let stop = supervisor.stop();
    let status = supervisor.status_handle();
    let ready = (role == "handles").then(|| supervisor.ready_handle());
    supervisor.spawn("work", Restart::Never, move |_| {
        let (stop, status, ready) = (stop.clone(), status.clone(), ready.clone());
        async move {
            while let Some(order) = told().await {
                match order.split_once(' ').unwrap_or((&order, "")) {
                    ("status", text) => status.set(text.replace('|', "\n")),
                    ("statuses", text) => text.split('|').for_each(|text| status.set(text)),
                    ("mark", text) => mark(text),
                    ("stop", _) => stop.cancel(),
                    ("ready", _) => ready.as_ref().unwrap().ready(),
                    ("block", _) => {
                        // The runtime of this test has one thread, and the supervisor's loop shares it.
                        mark("STUCK=1");
                        let (_send, receive) = std::sync::mpsc::channel::<()>();
                        receive.recv_timeout(20 * INTERVAL).unwrap_err();
                        mark("FREE=1");
                    }
                    other => panic!("{other:?}"),
                }
            }
            stop.cancel();
            Ok::<(), Infallible>(())
        }
    });
    supervisor.join(signals).await.unwrap();
    std::process::exit(0);
}

struct Service {
    child: Child,
    manager: UnixDatagram,
}

impl Service {
    fn start(role: &str, manager: UnixDatagram, address: &OsStr) -> Self {
        // Nothing that is waited for takes this long: a service that says nothing fails its test.
        manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "systemd::as_a_service"])
            .env(ROLE, role)
            .env("NOTIFY_SOCKET", address)
            .env("WATCHDOG_USEC", (2 * INTERVAL).as_micros().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, manager }
    }

    fn on_a_path(role: &str) -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let service = Self::start(role, manager, path.as_os_str());
        (dir, service)
    }

    fn hears(&self) -> String {
        let mut line = [0; 1024];
        let length = self.manager.recv(&mut line).unwrap();
        String::from_utf8_lossy(&line[..length]).into_owned()
    }

    /// Everything up to `last`, without the signs of life.
    fn hears_until(&self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|line| line != last) {
            heard.extend(Some(self.hears()).filter(|line| line != "WATCHDOG=1"));
        }
        heard
    }

    fn order(&mut self, order: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
    }

    fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        // The grace period of a minute, and a little for the process itself.
        let heard = self.hears_until("EXTEND_TIMEOUT_USEC=70000000");
        assert!(self.child.wait().unwrap().success());
        heard
    }
}

#[test]
fn the_manager_hears_ready_alive_and_stopping() {
    let (_dir, service) = Service::on_a_path("plain");
    assert_eq!(service.hears(), "READY=1");
    assert_eq!(service.hears(), "WATCHDOG=1");
    assert_eq!(service.hears(), "WATCHDOG=1");
    assert_eq!(
        service.end(),
        ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=70000000"]
    );
}

#[test]
fn an_abstract_address_is_as_good() {
    let name = format!("shoal-test-notify-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let service = Service::start("plain", manager, OsStr::new(&format!("@{name}")));
    assert_eq!(service.hears(), "READY=1");
    assert_eq!(service.hears(), "WATCHDOG=1");
    service.end();
}

#[test]
fn ready_is_said_when_the_product_says_so_and_once() {
    let (_dir, mut service) = Service::on_a_path("handles");
    // Alive, and at work, but not ready.
    assert_eq!(service.hears(), "WATCHDOG=1");
    service.order("mark X=1");
    assert_eq!(service.hears_until("X=1"), ["X=1"]);
    service.order("ready");
    assert_eq!(service.hears_until("READY=1"), ["READY=1"]);
    service.order("ready");
    service.order("mark X=2");
    assert_eq!(service.hears_until("X=2"), ["X=2"]);
    service.end();
}

#[test]
fn who_is_stopped_before_it_was_ready_never_says_so() {
    let (_dir, service) = Service::on_a_path("handles");
    assert_eq!(service.hears(), "WATCHDOG=1");
    assert_eq!(
        service.end(),
        ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=70000000"]
    );
}

#[test]
fn a_status_is_one_line_and_the_latest() {
    let (_dir, mut service) = Service::on_a_path("plain");
    assert_eq!(service.hears(), "READY=1");
    service.order("status scanning 12,345 files|WATCHDOG=trigger");
    let first = "STATUS=scanning 12,345 files WATCHDOG=trigger";
    assert_eq!(service.hears_until(first), [first]);
    // Set one after the other without a pause: the manager is told once.
    service.order("statuses a|b|c");
    assert_eq!(service.hears_until("STATUS=c"), ["STATUS=c"]);
    service.end();
}

#[test]
fn a_stuck_supervisor_does_not_look_alive() {
    let (_dir, mut service) = Service::on_a_path("plain");
    service.order("block");
    while service.hears() != "STUCK=1" {}
    // For twenty intervals.
    assert_eq!(service.hears(), "FREE=1");
    assert_eq!(service.hears(), "WATCHDOG=1", "no burst, and alive again");
    service.end();
}

#[test]
fn a_long_farewell_is_no_death() {
    let (_dir, mut service) = Service::on_a_path("plain");
    // The task goes on taking orders: it has not ended yet.
    service.order("stop");
    service.hears_until("EXTEND_TIMEOUT_USEC=70000000");
    assert_eq!(service.hears(), "WATCHDOG=1");
    assert_eq!(service.hears(), "WATCHDOG=1");
    drop(service.child.stdin.take());
    assert!(service.child.wait().unwrap().success());
}
