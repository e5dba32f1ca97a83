//! A scan that is held back, let go, and stopped.
use super::Rig;
use crate::{
    scan::{Engine, How, Progress, progress::Why},
    settings::Action,
};
use clamd_proto::{Content, Daemon, Request, SessionOptions};
use core_model::ByteSize;
use std::sync::Arc;
use testkit::ClamdOptions;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Lets others run until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cap_that_is_lifted_counts_for_the_scan_under_way() {
    let rig = Rig::new();
    rig.fill(1_000);
    // Within the guard, this is a small part.
    rig.set(|settings| settings.throttle.max_files_per_second = Some(1));
    let progress = Arc::new(Progress::default());
    let scanning = rig.engine.scan(
        rig.wanted(Action::Report),
        How::default(),
        Arc::clone(&progress),
        |_| {},
        CancellationToken::new(),
    );
    let lifting = async {
        until(|| progress.window().1 == Why::Cap && progress.snapshot().asked > 0).await;
        rig.set(|settings| settings.throttles = [("test".to_owned(), background())].into());
        until(|| progress.window() == (1, Why::Background)).await;
        rig.set(|settings| {
            settings.throttles.clear();
            settings.throttle.max_files_per_second = None;
        });
    };
    let (report, ()) = timeout(testkit::GUARD, async { tokio::join!(scanning, lifting) })
        .await
        .unwrap();
    assert_eq!(report.unwrap().account["clean"].files, 1_000);
}

fn background() -> crate::settings::ThrottleSettings {
    crate::settings::ThrottleSettings {
        background: Some(true),
        cpu_share: Some(1),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_scan_that_is_stopped_waits_for_no_cap_and_accounts_for_what_it_met() {
    let rig = Rig::new();
    rig.fill(1_000);
    rig.set(|settings| settings.throttle.max_files_per_second = Some(1));
    let progress = Arc::new(Progress::default());
    let stop = CancellationToken::new();
    let scanning = rig.engine.scan(
        rig.wanted(Action::Report),
        How::default(),
        Arc::clone(&progress),
        |_| {},
        stop.clone(),
    );
    let stopping = async {
        until(|| progress.snapshot().asked > 0).await;
        stop.cancel();
    };
    let (report, ()) = timeout(testkit::GUARD, async { tokio::join!(scanning, stopping) })
        .await
        .unwrap();
    let report = report.unwrap();
    assert!(
        report.stopped && report.gave_up.is_none() && report.unaccounted == 0,
        "{report:?}"
    );
    assert_eq!(report.status(), fleet_wire::ScanStatus::Stopped);
    assert!(
        report.account["failed"].files > 0 && report.account["clean"].files > 0,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_long_rest_ends_when_it_is_no_more_wanted_and_holds_no_connection() {
    let rig = Rig::new();
    for name in ["one", "two", "three"] {
        rig.write(name, name.repeat(10_000).as_bytes());
    }
    // The second one has its turn after hours.
    rig.set(|settings| settings.throttle.max_bytes_per_second = Some(ByteSize::new(1)));
    let progress = Arc::new(Progress::default());
    let scanning = rig.engine.scan(
        rig.wanted(Action::Report),
        How::default(),
        Arc::clone(&progress),
        |_| {},
        CancellationToken::new(),
    );
    let lifting = async {
        until(|| progress.snapshot().asked == 1 && rig.connections() == 0).await;
        rig.set(|settings| settings.throttle.max_bytes_per_second = None);
    };
    let (report, ()) = timeout(testkit::GUARD, async { tokio::join!(scanning, lifting) })
        .await
        .unwrap();
    assert_eq!(report.unwrap().account["clean"].files, 3);
}

#[tokio::test]
async fn a_scan_under_way_goes_over_to_the_clamd_that_is_configured_now() {
    let rig = Rig::new();
    rig.fill(300);
    let other = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    // All of them are malware there.
    other.reload_with("Test.More", b"harmless").unwrap();
    rig.set(|settings| settings.throttle.max_files_per_second = Some(1));
    let progress = Arc::new(Progress::default());
    let scanning = rig.engine.scan(
        rig.wanted(Action::Report),
        How::default(),
        Arc::clone(&progress),
        |_| {},
        CancellationToken::new(),
    );
    let moving = async {
        until(|| progress.snapshot().asked > 0).await;
        rig.set(|settings| {
            settings.clamd.endpoint = format!("unix:{}", other.socket().display());
            settings.clamd.database_directory = Some(other.database());
            settings.throttle.max_files_per_second = None;
        });
    };
    let (report, ()) = timeout(testkit::GUARD, async { tokio::join!(scanning, moving) })
        .await
        .unwrap();
    let report = report.unwrap();
    let [clean, infected] = ["clean", "infected"].map(|key| report.account[key].files);
    assert_eq!(clean + infected, 300, "{:?}", report.account);
    assert!(clean > 0 && infected > 0, "{clean} {infected}");
}

#[tokio::test]
async fn a_scan_that_was_cut_off_is_taken_up_where_it_was() {
    let rig = Rig::new();
    rig.fill(1_000);
    // What is older than a file that is remembered rests, too.
    let last = rig.write("last/file", b"harmless");
    let only_last = rig.wanted(Action::Report).only(vec![last.parent().unwrap().to_owned()]);
    let since = std::time::Instant::now();
    while rig.scan_by(only_last.clone(), How::default()).await.0.account["remembered"].files == 0 {
        assert!(since.elapsed() < testkit::GUARD, "nothing is remembered");
    }
    rig.set(|settings| settings.throttle.max_files_per_second = Some(200));
    let progress = Arc::new(Progress::default());
    let scanning = rig.engine.scan(
        rig.wanted(Action::Report),
        How::default(),
        Arc::clone(&progress),
        |_| {},
        CancellationToken::new(),
    );
    let verdicts = rig.engine.verdicts().unwrap();
    tokio::select! {
        report = scanning => panic!("it was through: {report:?}"),
        // It is dropped amid its work, as by a kill.
        () = until(|| verdicts.census().unwrap().files > 100) => {}
    }
    let judged = progress.snapshot().asked;
    // By another process, after a start.
    let mut settings = (*rig.engine.settings()).clone();
    settings.throttle.max_files_per_second = None;
    let report = Engine::new(settings)
        .scan(
            rig.wanted(Action::Report),
            How::default(),
            Arc::default(),
            |_| {},
            CancellationToken::new(),
        )
        .await
        .unwrap();
    let [remembered, clean] = ["remembered", "clean"].map(|key| report.account[key].files);
    assert_eq!(remembered + clean, 1_001, "{report:?}");
    assert!((101..=judged + 1).contains(&remembered), "{remembered} of {judged}");
}

#[tokio::test]
async fn a_scan_takes_less_of_a_clamd_that_others_wait_for_and_more_when_they_are_gone() {
    let rig = Rig::new();
    rig.fill(3_000);
    // So that it lasts for as long as the test does.
    rig.set(|settings| settings.throttle.max_files_per_second = Some(20));
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let scanning = rig.engine.scan(
        rig.wanted(Action::Report),
        How::default(),
        Arc::clone(&progress),
        |_| {},
        stop.clone(),
    );
    let daemon = Daemon::new(format!("unix:{}", rig.clamd.socket().display()).parse().unwrap());
    let doing = async {
        until(|| progress.snapshot().asked > 0).await;
        let (most, _) = progress.window();
        let other = |n: u8| {
            let daemon = daemon.clone();
            async move {
                for round in 0_u32.. {
                    let mut bytes = vec![n; 4 << 20];
                    // clamd remembers what it has read.
                    bytes[..4].copy_from_slice(&round.to_le_bytes());
                    let request = Request::Stream(Content::Bytes(bytes.into()));
                    daemon.scan(request, SessionOptions::default()).await.unwrap();
                }
            }
        };
        let others = async { tokio::join!(other(1), other(2), other(3), other(4), other(5), other(6)) };
        let is_yielding = || matches!(progress.window(), (window, Why::Queue) if window <= most / 2);
        tokio::select! {
            _ = others => unreachable!("they do not end"),
            () = until(is_yielding) => {}
        }
        until(|| progress.window() == (most, Why::Cap)).await;
        stop.cancel();
    };
    let (report, ()) = timeout(testkit::GUARD, async { tokio::join!(scanning, doing) })
        .await
        .unwrap();
    assert_eq!(report.unwrap().unaccounted, 0);
}
