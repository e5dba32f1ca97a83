//! The scanner that stays up: it scans again and again, and ends in order whatever it is at.
use e2e::{AGENT, Signal, Site, end, health_address, long_names, send, wait_health};
use std::{
    fs::{self, File},
    os::unix::net::UnixDatagram,
    path::Path,
    thread,
};
use testkit::{Daemon, Fault, GUARD, Program, eventually};

/// The same for SIGTERM and for SIGINT, at one time.
fn for_both(work: impl Fn(Signal) + Sync) {
    thread::scope(|scope| {
        for signal in [Signal::TERM, Signal::INT] {
            let work = &work;
            scope.spawn(move || work(signal));
        }
    });
}

#[test]
fn it_scans_at_once_and_again_and_delivers_what_is_new() {
    let site = Site::new(&[]).unwrap();
    site.touch(["first"]).unwrap();
    let daemon = site.start().unwrap();
    site.wait_told().unwrap();
    site.touch(["second"]).unwrap();
    site.wait_told().unwrap();
    fs::rename(site.tree().join("first"), site.tree().join("third")).unwrap();
    fs::remove_file(site.tree().join("second")).unwrap();
    site.wait_told().unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
    let stream = site.recorder.newest_stream(AGENT).unwrap();
    // Begin, first, end, second, moved, deleted: an unchanged file is told once, however often it is looked at.
    assert_eq!(stream.records, 6, "{stream:?}");
    assert_eq!(site.recorder.streams().len(), 1, "{:?}", site.recorder.streams());
}

#[test]
fn it_ends_when_asked_before_it_could_enrol() {
    for_both(|signal| {
        let site = Site::new(&[]).unwrap();
        site.touch(["file"]).unwrap();
        site.proxy.set(Fault::Refuse).unwrap();
        let daemon = site.start().unwrap();
        daemon.wait_for_text("not enrolled yet").unwrap();
        end(daemon, signal).unwrap();
        site.proxy.set(Fault::Pass).unwrap();
        site.round(0).unwrap();
        site.check_told().unwrap();
    });
}

#[test]
fn it_ends_when_asked_in_the_middle_of_a_scan_and_the_next_goes_on() {
    for_both(|signal| {
        let site = Site::new(&["scanner.change_detection=hash"]).unwrap();
        site.touch((0..2000).map(|n| format!("file-{n}"))).unwrap();
        // To read it all would take far longer than any process is given to end, and it takes no space.
        let endless = site.tree().join("endless");
        File::create(&endless).unwrap().set_len(1 << 40).unwrap();
        let daemon = site.start().unwrap();
        daemon.wait_for_text("opened a new stream").unwrap();
        end(daemon, signal).unwrap();
        let history = site.json(&["history"]).unwrap();
        assert_eq!(history[0]["status"], "interrupted", "{history}");
        File::create(&endless).unwrap();
        site.round(0).unwrap();
        site.check_told().unwrap();
    });
}

#[test]
fn it_ends_when_asked_while_the_server_never_answers() {
    for_both(|signal| {
        let (site, daemon) = delivering_to_nobody(|_| Vec::new());
        end(daemon, signal).unwrap();
        site.proxy.set(Fault::Pass).unwrap();
        site.round(0).unwrap();
        site.check_told().unwrap();
    });
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    for_both(|second| {
        // What it has still to say of itself keeps it for some seconds, so that the second signal meets it.
        let (site, daemon) = delivering_to_nobody(|site| vec![format!("telemetry.otlp.endpoint={}", site.proxy.url())]);
        let (first, code) = match second {
            Signal::INT => (Signal::TERM, 130),
            _ => (Signal::INT, 143),
        };
        send(&daemon, first).unwrap();
        daemon.wait_for_text("stopping").unwrap();
        send(&daemon, second).unwrap();
        assert_eq!(daemon.wait().unwrap().code(), Some(code));
        site.proxy.set(Fault::Pass).unwrap();
        site.round(0).unwrap();
        site.check_told().unwrap();
    });
}

/// A daemon with requests under way that no answer comes to.
fn delivering_to_nobody(more: impl FnOnce(&Site) -> Vec<String>) -> (Site, Daemon) {
    let site = Site::new(&[]).unwrap();
    site.touch(["known"]).unwrap();
    site.round(0).unwrap();
    site.proxy.set(Fault::Hang).unwrap();
    site.touch((0..1000).map(|n| format!("file-{n}"))).unwrap();
    let more = more(&site);
    let more: Vec<&str> = more.iter().flat_map(|setting| ["--set", setting]).collect();
    let daemon = site.program(&[&["run"], &more[..]].concat()).unwrap().start().unwrap();
    // A heartbeat, and records.
    site.proxy.wait_for("hang", 2).unwrap();
    (site, daemon)
}

#[test]
fn it_ends_when_asked_while_a_scan_waits_for_room() {
    for_both(|signal| {
        let site = Site::new(&["outbox.max_bytes=1MB", "health.enabled=true", "health.port=0"]).unwrap();
        site.touch(long_names(5600)).unwrap();
        site.proxy.set(Fault::Refuse).unwrap();
        let daemon = site.start().unwrap();
        let health = health_address(&daemon).unwrap();
        wait_health(health, "scan that waits for room", |health| {
            health["outbox"]["blocked"].is_string().then_some(())
        })
        .unwrap();
        end(daemon, signal).unwrap();
        site.proxy.set(Fault::Pass).unwrap();
        site.round(0).unwrap();
        site.check_told().unwrap();
    });
}

#[test]
fn it_ends_when_asked_while_a_backup_is_due() {
    for_both(|signal| {
        let site = with_an_old_backup();
        site.touch(["late"]).unwrap();
        let daemon = site.start().unwrap();
        end(daemon, signal).unwrap();
        site.round(0).unwrap();
        site.check_told().unwrap();
        site.command(&["state", "check"]).unwrap().success().unwrap();
        let restored = site.command(&["state", "restore"]).unwrap().success().unwrap();
        assert!(restored.stdout().contains("restored"), "{restored}");
        site.round(0).unwrap();
        site.check_told().unwrap();
    });
}

/// A site whose only backup is of long ago.
fn with_an_old_backup() -> Site {
    let site = Site::new(&[]).unwrap();
    site.touch((0..500).map(|n| format!("file-{n}"))).unwrap();
    site.round(0).unwrap();
    let taken = site.json(&["state", "backup"]).unwrap();
    let taken = Path::new(taken["file"].as_str().unwrap());
    fs::rename(
        site.home().join(taken),
        site.home().join(taken.with_file_name("state-20200101T000000.000Z.db")),
    )
    .unwrap();
    site
}

#[test]
fn a_backup_is_taken_while_it_is_up() {
    let site = with_an_old_backup();
    let daemon = site.start().unwrap();
    daemon.wait_for_text("took a backup of the state").unwrap();
    end(daemon, Signal::TERM).unwrap();
    let backups = site.json(&["state", "backups"]).unwrap();
    assert_eq!(backups.as_array().unwrap().len(), 2, "{backups}");
}

#[test]
fn held_deletions_are_released_while_it_is_up() {
    let site = Site::new(&["scanner.deletion_hold.share=50%", "scanner.deletion_hold.min_files=5"]).unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("file-{n}")).collect();
    site.touch(&names).unwrap();
    let daemon = site.start().unwrap();
    site.wait_told().unwrap();
    for name in &names[..15] {
        fs::remove_file(site.tree().join(name)).unwrap();
    }
    eventually("held deletions", || {
        let status = site.json(&["status"])?;
        Ok((status["roots"][0]["held_deletions"] == 15).then_some(()))
    })
    .unwrap();
    assert_eq!(site.recorder.live(AGENT).len(), 20, "a deletion was told that is held");
    let tree = site.tree().display().to_string();
    let accepted = site.command(&["accept", &tree]).unwrap().success().unwrap();
    assert!(accepted.stdout().contains("15 deletions released"), "{accepted}");
    site.wait_told().unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
}

#[test]
fn the_service_manager_hears_that_it_is_ready_alive_and_stopping() {
    let site = Site::new(&[]).unwrap();
    hear(site.home(), site.program(&["run"]).unwrap());
    let home = tempfile::tempdir().unwrap();
    let args = ["serve", "--data-dir", "controller", "--listen", "127.0.0.1:0"];
    let controller = Program::named("fleet-controller").unwrap().args(args);
    hear(home.path(), controller.home(home.path()));
}

/// Starts a program as systemd does one of `Type=notify` with a watchdog, and listens.
fn hear(home: &Path, program: Program) {
    let path = home.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(GUARD)).unwrap();
    let mut heard = Vec::new();
    let mut wait_for = |wanted: &str| {
        while !heard.iter().any(|told| told == wanted) {
            let mut told = [0; 4096];
            let length = manager
                .recv(&mut told)
                .unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            heard.extend(String::from_utf8_lossy(&told[..length]).lines().map(str::to_owned));
        }
    };
    let program = program.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let daemon = program.start().unwrap();
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    send(&daemon, Signal::TERM).unwrap();
    wait_for("STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}
