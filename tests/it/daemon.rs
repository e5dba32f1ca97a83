//! The scanner that stays up: it scans again and again, and ends in order whatever it is at.
use e2e::{AGENT, Fleet, Signal, Site, end, send};
use std::{fs, os::unix::net::UnixDatagram};
use testkit::{Fault, GUARD, TreePlan, eventually};

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
