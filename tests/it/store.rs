//! The controller's own store: damaged, put back, or without room; and what its agents then do.
use e2e::{Fleet, Scanner, SmallDisk, long_names, wait_health};
use serde_json::Value;
use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    net::SocketAddr,
    path::Path,
};
use testkit::eventually;

fn address(fleet: &Fleet) -> SocketAddr {
    fleet.address().parse().unwrap()
}

fn touch(scanner: &Scanner, names: impl IntoIterator<Item = String>) {
    for name in names {
        fs::write(scanner.tree().join(name), "").unwrap();
    }
}

/// The controller's picture is the tree.
fn check_told(fleet: &Fleet, scanner: &Scanner, agent: &str) {
    let mut expected: Vec<Vec<u8>> = fs::read_dir(scanner.tree())
        .unwrap()
        .map(|entry| entry.unwrap().path().into_os_string().into_encoded_bytes())
        .collect();
    expected.sort();
    assert_eq!(fleet.paths(agent).unwrap(), expected);
}

/// Whether the controller knows so many files of the agent; it may not have heard of it yet.
fn is_told(fleet: &Fleet, files: usize) -> Option<()> {
    fleet
        .paths("witness")
        .is_ok_and(|paths| paths.len() == files)
        .then_some(())
}

fn overwrite_the_middle(file: &Path) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[0x5a; 16 << 10]).unwrap();
}

fn is_owing(store: &Value) -> bool {
    store["detail"]
        .as_str()
        .is_some_and(|detail| detail.contains("full snapshot"))
}

#[test]
fn a_controller_whose_store_is_damaged_restores_it_and_its_picture_is_right_again() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "witness", "").unwrap();
    touch(&scanner, (0..300).map(|n| format!("file-{n}")));
    scanner.round(0).unwrap();
    fleet.local(&["store", "backup"]).unwrap().success().unwrap();
    // What the backup does not have.
    fs::remove_file(scanner.tree().join("file-7")).unwrap();
    touch(&scanner, ["late".to_owned()]);
    scanner.round(0).unwrap();
    fleet.stop().unwrap();
    overwrite_the_middle(&fleet.data().join("fleet.db"));
    fleet.local(&["store", "check"]).unwrap().assert_code(4);

    fleet.restart().unwrap();
    let store = wait_health(address(&fleet), "agent that owes a snapshot", |health| {
        is_owing(&health["store"]).then(|| health["store"].clone())
    })
    .unwrap();
    assert_eq!(store["status"], "degraded", "{store}");
    assert!(
        store["recovered"]
            .as_str()
            .is_some_and(|said| said.contains("restored")),
        "{store}"
    );
    touch(&scanner, ["later".to_owned()]);
    let first = scanner.command(&["run", "--once"]).unwrap().one_of(&[0, 5]).unwrap();
    let second = scanner.round(0).unwrap();
    let opened = |output: &testkit::Output| output.stderr().contains("opened a new stream");
    assert!(opened(&first) || opened(&second), "{first}\n{second}");
    check_told(&fleet, &scanner, "witness");
    wait_health(address(&fleet), "agent that owes nothing", |health| {
        (health["store"]["status"] == "healthy").then_some(())
    })
    .unwrap();
    fleet.local(&["store", "check"]).unwrap().success().unwrap();
}

#[test]
fn a_controller_that_an_operator_puts_back_asks_its_agents() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "witness", "").unwrap();
    touch(&scanner, (0..10).map(|n| format!("file-{n}")));
    scanner.round(0).unwrap();
    fleet.local(&["store", "backup"]).unwrap().success().unwrap();
    let backups = fleet
        .local(&["store", "backups", "--output", "json"])
        .unwrap()
        .success()
        .unwrap();
    assert!(!backups.json().unwrap().as_array().unwrap().is_empty(), "{backups}");
    touch(&scanner, ["late".to_owned()]);
    scanner.round(0).unwrap();
    let refused = fleet.local(&["store", "restore"]).unwrap().assert_code(4);
    assert!(refused.stderr().contains("stop the controller first"), "{refused}");
    fleet.stop().unwrap();
    let restored = fleet.local(&["store", "restore"]).unwrap().success().unwrap();
    assert!(restored.stdout().contains("full snapshot"), "{restored}");
    fleet.restart().unwrap();
    // It has nothing new to tell, and hears from its sign of life that what it told is gone.
    let said = scanner.round(0).unwrap();
    assert!(said.stderr().contains("told anew"), "{said}");
    check_told(&fleet, &scanner, "witness");
}

#[test]
fn an_agent_that_is_up_and_has_nothing_to_tell_tells_a_restored_controller_everything() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "witness", "").unwrap();
    touch(&scanner, (0..10).map(|n| format!("file-{n}")));
    let seldom = [
        "--set",
        "scanner.scan_interval=6h",
        "--set",
        "agent.heartbeat_interval=1s",
    ];
    let daemon = scanner
        .program(&[&["run"], &seldom[..]].concat())
        .unwrap()
        .start()
        .unwrap();
    eventually("files at the controller", || Ok(is_told(&fleet, 10))).unwrap();
    fleet.local(&["store", "backup"]).unwrap().success().unwrap();
    touch(&scanner, ["late".to_owned()]);
    scanner.command(&["state", "snapshot"]).unwrap().success().unwrap();
    eventually("the late file", || Ok(is_told(&fleet, 11))).unwrap();
    fleet.stop().unwrap();
    fleet.local(&["store", "restore"]).unwrap().success().unwrap();
    fleet.restart().unwrap();
    eventually("the late file again", || Ok(is_told(&fleet, 11))).unwrap();
    daemon.stop().unwrap();
    check_told(&fleet, &scanner, "witness");
}

#[test]
fn a_controller_whose_disk_is_full_says_so_and_agents_keep_their_records() {
    let (fleet, disk) = Fleet::start_after(|data| SmallDisk::mount(data, "12m")).unwrap();
    let Some(disk) = disk else { return };
    let scanner = Scanner::new(&fleet, "patient", "").unwrap();
    touch(&scanner, ["first".to_owned()]);
    scanner.round(0).unwrap();
    disk.fill().unwrap();
    touch(&scanner, long_names(3000));
    let said = scanner.round(5).unwrap();
    assert!(said.stderr().contains("storage_full"), "{said}");
    let store = wait_health(address(&fleet), "full disk", |health| {
        (health["store"]["status"] == "unhealthy").then(|| health["store"].clone())
    })
    .unwrap();
    assert!(
        store["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("free space")),
        "{store}"
    );
    // What is known is still told.
    assert!(!fleet.paths("patient").unwrap().is_empty());
    let status = scanner
        .command(&["status", "--output", "json"])
        .unwrap()
        .success()
        .unwrap();
    assert!(
        status.json().unwrap()["outbox"]["records"].as_u64() > Some(0),
        "{status}"
    );

    disk.make_room().unwrap();
    scanner.round(0).unwrap();
    check_told(&fleet, &scanner, "patient");
    wait_health(address(&fleet), "disk with room", |health| {
        (health["store"]["status"] == "healthy").then_some(())
    })
    .unwrap();
    fleet.local(&["store", "check"]).unwrap().success().unwrap();
}
