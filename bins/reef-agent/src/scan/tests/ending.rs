//! Scans that end before they are through.
use super::{Rig, files};
use crate::{
    scan::{How, Progress},
    settings::Action,
};
use daemon_kit::Exit;
use fleet_wire::{ScanCause, ScanStatus};
use std::sync::Arc;
use testkit::{ClamdProxy, GUARD};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_scan_that_was_stopped_says_so_also_where_all_files_were_met_by_then() {
    let rig = Rig::new();
    /// More than are under way at once, and no more than wait besides: the walk is through before anything is answered.
    const FILES: usize = 20;
    rig.fill(FILES);
    let proxy = Arc::new(ClamdProxy::start(&rig.clamd).unwrap());
    rig.set(|settings| settings.clamd.endpoint = format!("unix:{}", proxy.socket().display()));
    rig.prove().await;
    proxy.hold(true);
    let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
    let stopping = {
        let (proxy, stop, progress) = (Arc::clone(&proxy), stop.clone(), Arc::clone(&progress));
        tokio::task::spawn_blocking(move || {
            assert!(proxy.wait_for_held(GUARD));
            while progress.snapshot().files < FILES as u64 {
                std::thread::yield_now();
            }
            stop.cancel();
            proxy.hold(false);
        })
    };
    let wanted = rig.wanted(Action::Report);
    let scanning = rig.engine.scan(wanted, How::default(), progress, |_| {}, stop);
    let (report, stopped) = tokio::join!(scanning, stopping);
    let report = report.unwrap();
    stopped.unwrap();
    assert!(report.stopped && report.gave_up.is_none(), "{report:?}");
    assert_eq!(files(&report, "clean") + files(&report, "failed"), FILES as u64);
    assert!(files(&report, "failed") > 0, "{report:?}");
    assert!(
        report
            .failures
            .iter()
            .all(|failure| failure.reason == "the scan was stopped")
    );
    assert!(report.text().contains("stopped before its end"), "{}", report.text());
    assert_eq!(report.exit(), Exit::Partial);
    assert_eq!(report.to_wire(ScanCause::Local).status, ScanStatus::Stopped);
    let whole = rig.scan(Action::Report).await;
    assert!(!whole.text().contains("stopped"), "{}", whole.text());
}
