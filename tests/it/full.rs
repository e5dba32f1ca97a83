//! The disk of the state is full: that is said, nothing is damaged, what is acknowledged leaves, and with room it goes on.
use e2e::{AGENT, Signal, Site, SmallDisk, end, health_address, long_names, wait_health};
use testkit::{Fault, eventually};

/// A site with its state on a small disk, and 50 records that wait for a server that is away.
fn owing() -> Option<(Site, SmallDisk)> {
    let site = Site::new(&["health.enabled=true", "health.port=0"]).unwrap();
    let disk = SmallDisk::mount(&site.state(), "12m").unwrap()?;
    site.touch((0..100).map(|n| format!("file-{n}"))).unwrap();
    site.round(0).unwrap();
    site.proxy.set(Fault::Refuse).unwrap();
    site.touch((0..50).map(|n| format!("queued-{n}"))).unwrap();
    site.round(5).unwrap();
    Some((site, disk))
}

/// How many of the records that waited have come to the server.
fn queued(site: &Site) -> usize {
    let queued = site.tree().join("queued-").into_os_string().into_encoded_bytes();
    let live = site.recorder.live(AGENT);
    live.iter().filter(|path| path.starts_with(&queued)).count()
}

#[test]
fn a_round_on_a_full_disk_says_so_and_damages_nothing() {
    let Some((site, disk)) = owing() else { return };
    disk.fill().unwrap();
    site.touch(long_names(3000)).unwrap();
    let full = site.command(&["run", "--once"]).unwrap().one_of(&[4, 5]).unwrap();
    assert!(full.stderr().contains("disk is full"), "{full}");
    let status = site.json(&["status"]).unwrap();
    assert!(status["outbox"]["records"].as_u64() >= Some(50), "{status}");
    site.command(&["state", "check"]).unwrap().success().unwrap();

    // The scan finds no room; what waits is delivered all the same.
    site.proxy.set(Fault::Pass).unwrap();
    let full = site.command(&["run", "--once"]).unwrap().one_of(&[4, 5]).unwrap();
    assert!(full.stderr().contains("disk is full"), "{full}");
    assert_eq!(queued(&site), 50, "{full}");
    let status = site.json(&["status"]).unwrap();
    assert!(status["outbox"]["records"].as_u64() < Some(50), "{status}");

    disk.make_room().unwrap();
    site.round(0).unwrap();
    site.check_told().unwrap();
    site.command(&["state", "check"]).unwrap().success().unwrap();
    assert_eq!(site.recorder.streams().len(), 1, "{:?}", site.recorder.streams());
}

#[test]
fn on_a_full_disk_what_the_server_takes_leaves_and_with_room_scans_go_on() {
    let Some((site, disk)) = owing() else { return };
    disk.fill().unwrap();
    site.touch(long_names(3000)).unwrap();
    let daemon = site.start().unwrap();
    let health = health_address(&daemon).unwrap();
    let database = wait_health(health, "full disk", |health| {
        let database = health["database"].clone();
        (database["status"] == "unhealthy").then_some(database)
    })
    .unwrap();
    assert!(
        database["error"]
            .as_str()
            .is_some_and(|error| error.contains("disk is full")),
        "{database}"
    );
    daemon.wait_for_text("the scan failed; it is tried again").unwrap();

    site.proxy.set(Fault::Pass).unwrap();
    eventually("records that waited", || Ok((queued(&site) == 50).then_some(()))).unwrap();
    wait_health(health, "outbox that got shorter", |health| {
        (health["outbox"]["records"].as_u64() < Some(50)).then_some(())
    })
    .unwrap();

    disk.make_room().unwrap();
    site.wait_told().unwrap();
    wait_health(health, "disk with room", |health| {
        (health["database"]["status"] == "healthy").then_some(())
    })
    .unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
    site.command(&["state", "check"]).unwrap().success().unwrap();
    assert_eq!(site.recorder.streams().len(), 1, "{:?}", site.recorder.streams());
}

#[test]
fn a_state_that_there_is_no_room_to_make_is_said_and_made_later() {
    let site = Site::new(&[]).unwrap();
    let Some(disk) = SmallDisk::mount(&site.state(), "4m").unwrap() else {
        return;
    };
    site.touch(["file"]).unwrap();
    disk.fill().unwrap();
    let full = site.command(&["run", "--once"]).unwrap().one_of(&[4, 5]).unwrap();
    assert!(
        full.stderr().contains("full") || full.stderr().contains("No space left"),
        "{full}"
    );
    disk.make_room().unwrap();
    site.round(0).unwrap();
    site.check_told().unwrap();
    site.command(&["state", "check"]).unwrap().success().unwrap();
}
