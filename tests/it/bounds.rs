//! More is found than the outbox may hold while the server is away.
use e2e::{AGENT, Signal, Site, end, health_address, long_names, wait_health};
use std::fs;
use testkit::{Fault, eventually, http_get};

/// Some 1.2 MB as they lie in the outbox, which may hold 1 MB.
const TOO_MANY: u64 = 6000;

/// A site that is known to the server with one file, which is away then while too many are made.
fn overwhelmed(when_full: &str) -> Site {
    let policy = format!("outbox.when_full={when_full}");
    let site = Site::new(&["outbox.max_bytes=1MB", &policy, "health.enabled=true", "health.port=0"]).unwrap();
    site.touch(["known", "moves", "goes"]).unwrap();
    site.round(0).unwrap();
    site.proxy.set(Fault::Refuse).unwrap();
    site.touch(long_names(TOO_MANY)).unwrap();
    fs::rename(site.tree().join("moves"), site.tree().join("moved")).unwrap();
    fs::remove_file(site.tree().join("goes")).unwrap();
    site
}

fn drops(when_full: &str) {
    let site = overwhelmed(when_full);
    site.round(5).unwrap();
    let status = site.json(&["status"]).unwrap();
    let waiting = status["outbox"]["bytes"].as_u64().unwrap();
    assert!(waiting <= 1 << 20, "{status}");
    assert!(status["outbox"]["records"].as_u64().unwrap() > 0, "{status}");
    let daemon = site.start().unwrap();
    let health = health_address(&daemon).unwrap();
    let told = wait_health(health, "count of dropped records", |health| {
        let outbox = health["outbox"].clone();
        (outbox["dropped"].as_u64() > Some(0)).then_some(outbox)
    })
    .unwrap();
    assert!(
        told["resync_wanted"]
            .as_str()
            .is_some_and(|why| why.starts_with("dropped")),
        "{told}"
    );
    let metrics = http_get(health, "/metrics").unwrap().body;
    let count = metrics
        .lines()
        .find(|line| line.starts_with("scanner_outbox_dropped_records"))
        .unwrap_or_else(|| panic!("no count in\n{metrics}"));
    assert!(!count.ends_with(" 0"), "{count}");

    site.proxy.set(Fault::Pass).unwrap();
    eventually("live set that is the tree", || {
        let streams = site.recorder.streams().len();
        // One for what was dropped while the server was away. A snapshot that is itself dropped in part never ends.
        anyhow::ensure!(streams <= 4, "told anew again and again, in {streams} streams");
        Ok(site.is_told()?.then_some(()))
    })
    .unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
    assert!(
        site.recorder.streams().len() > 1,
        "everything is told anew in a stream of its own"
    );
    let status = site.json(&["status"]).unwrap();
    assert_eq!(status["outbox"]["records"], 0, "{status}");
}

#[test]
fn the_oldest_are_dropped_and_everything_is_told_anew() {
    drops("drop_oldest");
}

#[test]
fn the_newest_are_dropped_and_everything_is_told_anew() {
    drops("drop_newest");
}

#[test]
fn status_counts_what_was_dropped() {
    let site = overwhelmed("drop_newest");
    site.round(5).unwrap();
    let status = site.json(&["status"]).unwrap();
    assert!(status["outbox"]["dropped"].as_u64() > Some(0), "{status}");
}

#[test]
fn a_round_after_a_drop_tells_everything_anew() {
    let site = overwhelmed("drop_oldest");
    site.round(5).unwrap();
    site.proxy.set(Fault::Pass).unwrap();
    site.round(0).unwrap();
    site.check_told().unwrap();
}

#[test]
fn a_round_that_is_blocked_gives_up_aloud_and_the_next_goes_on() {
    let site = overwhelmed("block");
    let blocked = site.round(5).unwrap();
    assert!(blocked.stderr().contains("outbox is full"), "{blocked}");
    let status = site.json(&["status"]).unwrap();
    let waiting = status["outbox"]["records"].as_u64().unwrap();
    assert!(waiting > 0, "{status}");
    assert!(status["outbox"]["bytes"].as_u64().unwrap() <= 1 << 20, "{status}");
    assert_eq!(site.recorder.live(AGENT).len(), 3);

    site.proxy.set(Fault::Pass).unwrap();
    site.round(0).unwrap();
    site.check_told().unwrap();
    assert_eq!(
        site.recorder.streams().len(),
        1,
        "nothing was lost, so nothing is told anew"
    );
}

#[test]
fn a_scan_that_waits_for_room_goes_on_when_the_server_is_back() {
    let site = overwhelmed("block");
    let daemon = site.start().unwrap();
    let health = health_address(&daemon).unwrap();
    wait_health(health, "scan that waits for room", |health| {
        health["outbox"]["blocked"].is_string().then_some(())
    })
    .unwrap();
    site.proxy.set(Fault::Pass).unwrap();
    site.wait_told().unwrap();
    end(daemon, Signal::TERM).unwrap();
    site.check_told().unwrap();
    assert_eq!(
        site.recorder.streams().len(),
        1,
        "nothing was lost, so nothing is told anew"
    );
}
