//! Where malware is to be taken to a quarantine that cannot be used, or much of it at once.
use super::{Rig, bytes, files, outcomes};
use crate::settings::Action;
use core_model::Period;
use daemon_kit::Exit;
use fleet_wire::{Outcome, ScanCause, ScanStatus};
use std::{collections::BTreeSet, fs};
use testkit::eicar;

#[tokio::test]
async fn a_quarantine_that_cannot_be_used_keeps_no_file_from_being_scanned() {
    let rig = Rig::new();
    rig.fill(5);
    let infected = rig.write("eicar", &eicar());
    let store = rig.engine.settings().quarantine_dir.clone();
    fs::create_dir(&store).unwrap();
    fs::write(store.join("key"), "junk").unwrap();
    for action in [Action::Quarantine, Action::Delete] {
        let report = rig.scan(action).await;
        assert_eq!(
            (files(&report, "clean"), report.exit()),
            (5, Exit::Findings),
            "{report:?}"
        );
        assert_eq!(outcomes(&report.detections), [(bytes(&infected), Outcome::LeftThere)]);
        assert!(report.detections[0].detail.as_ref().unwrap().contains("is no key"));
        assert!(report.quarantine_error.as_ref().unwrap().contains("is no key"));
        assert_eq!(report.text().matches("is no key").count(), 1, "{}", report.text());
    }
    // Without malware, what was asked for is still not done.
    fs::remove_file(&infected).unwrap();
    let report = rig.scan(Action::Quarantine).await;
    assert_eq!(report.exit(), Exit::Partial);
    let told = report.to_wire(ScanCause::Schedule);
    assert_eq!(told.status, ScanStatus::Partial);
    assert!(told.error.unwrap().contains("is no key"));
    assert_eq!(
        rig.scan(Action::Report).await.exit(),
        Exit::Done,
        "who only reports needs none"
    );
}

#[tokio::test]
async fn what_lies_too_long_and_cannot_be_deleted_keeps_no_malware_from_being_taken() {
    let rig = Rig::new();
    rig.write("first", &eicar());
    assert_eq!(rig.scan(Action::Quarantine).await.quarantine_error, None);
    // Its manifest is a directory by now, which nobody can delete as a file.
    let id = rig.engine.quarantine().unwrap().ids().unwrap()[0];
    let store = rig.engine.settings().quarantine_dir.clone();
    fs::remove_file(store.join(format!("{id}.data"))).unwrap();
    fs::create_dir(store.join(format!("{id}.data"))).unwrap();
    rig.set(|settings| settings.quarantine.keep = Some(Period::from_secs(0)));
    let second = rig.write("second", &eicar());
    let report = rig.scan(Action::Quarantine).await;
    assert_eq!(outcomes(&report.detections), [(bytes(&second), Outcome::Quarantined)]);
    assert!(
        report.quarantine_error.as_ref().unwrap().contains("quarantine.keep"),
        "{report:?}"
    );
    assert_eq!(report.exit(), Exit::Findings);
}

#[tokio::test]
async fn much_malware_at_once_is_taken_whole() {
    let rig = Rig::new();
    let paths: BTreeSet<_> = (0..150)
        .map(|n| bytes(&rig.write(&format!("d{}/{n}", n % 3), &eicar())))
        .collect();
    let report = rig.scan(Action::Quarantine).await;
    let expected: Vec<_> = paths.into_iter().map(|path| (path, Outcome::Quarantined)).collect();
    assert_eq!(outcomes(&report.detections), expected);
    assert_eq!(rig.engine.quarantine().unwrap().list().unwrap().items.len(), 150);
    let left = rig.scan(Action::Report).await;
    assert_eq!(left.met.files, 0, "{left:?}");
}
