//! What is known of a real clamd, and how soon.
use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{ByteSize, Period};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, task::Poll};
use testkit::{ClamdOptions, GUARD};
use tokio::time::timeout;
use transport_http::Status;

fn settings(clamd: &testkit::Clamd) -> KeeperSettings {
    let of = ClamdSettings {
        endpoint: format!("unix:{}", clamd.socket().display()),
        max_file_size: ByteSize::new(1 << 20),
        database_directory: Some(clamd.database()),
        ..ClamdSettings::default()
    };
    KeeperSettings::new(&of, &CanarySettings::default()).unwrap()
}

/// Runs a keeper while `test` does its work.
async fn kept<F: Future<Output = ()>>(settings: KeeperSettings, test: impl FnOnce(KeeperHandle) -> F) {
    let (_sender, settings) = watch::channel(settings);
    let (keeper, handle) = Keeper::new(settings);
    let stop = CancellationToken::new();
    let work = async {
        test(handle).await;
        stop.cancel();
    };
    tokio::join!(keeper.run(stop.clone()), work);
}

async fn until(handle: &KeeperHandle, what: &str, is_so: impl FnMut(&ClamdState) -> bool) -> ClamdState {
    let mut state = handle.state();
    let so = timeout(GUARD, state.wait_for(is_so)).await;
    let state = so.unwrap_or_else(|_| panic!("not {what}")).unwrap();
    state.clone()
}

fn is_found(state: &ClamdState) -> bool {
    state.canary.as_ref().is_some_and(Canary::is_found)
}

#[tokio::test]
async fn what_clamd_is_and_does_is_known_without_asking_it() {
    let clamd = testkit::Clamd::start(ClamdOptions {
        database_version: Some(27815),
        ..ClamdOptions::default()
    })
    .unwrap();
    kept(settings(&clamd), |handle| async move {
        let state = until(&handle, "known", |state| {
            is_found(state) && state.activity.is_some() && state.looked.is_some()
        })
        .await;
        assert!(state.is_guarding());
        assert_eq!(state.version.clone().unwrap().database.unwrap().number, 27815);
        assert_eq!(state.activity.clone().unwrap().threads_max, 2);
        assert_eq!(state.looked, Some(Looked::Whole));
        // It was made a moment ago, by this machine's clock.
        let age = state.database_age(Utc::now()).unwrap();
        assert!(age < TimeDelta::minutes(10), "{age}");
        let (status, block) = clamd_block(&state);
        assert_eq!(
            (status, block["canary"]["result"].as_str()),
            (Status::Healthy, Some("found"))
        );
        assert_eq!(block["threads"]["max"], 2);
        let week = Period::from_secs(7 * 86_400).get();
        assert_eq!(signatures_block(&state, week, Utc::now()).0, Status::Healthy);
        let (status, block) = signatures_block(&state, week, Utc::now() + TimeDelta::days(8));
        assert_eq!(status, Status::Degraded);
        assert!(block["detail"].as_str().unwrap().starts_with("8 days old"), "{block:?}");
    })
    .await;
}

#[tokio::test]
async fn a_killed_clamd_is_down_while_scans_run_and_is_tried_anew_when_it_is_back() {
    let mut clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    kept(settings(&clamd), |handle| async move {
        let first = until(&handle, "up", is_found).await.canary.unwrap();
        let busy = handle.busy();
        clamd.kill_hard().unwrap();
        let state = until(&handle, "down", |state| !state.is_up()).await;
        let Presence::Down { why, .. } = &state.presence else {
            panic!("{:?}", state.presence);
        };
        assert!(why.contains("start clamd"), "{why}");
        assert!(!state.is_guarding() && state.activity.is_none());
        let (status, block) = clamd_block(&state);
        assert_eq!(
            (status, block["error"].as_str()),
            (Status::Unhealthy, Some(why.as_str()))
        );
        // By what it judged is still known, for whoever looks at what was judged.
        assert!(state.version.is_some());
        clamd.restart().unwrap();
        let again = until(&handle, "tried again", |state| {
            state.is_up() && is_found(state) && state.canary.as_ref().unwrap().at > first.at
        });
        assert!(again.await.is_guarding());
        drop(busy);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_fails_elsewhere_has_clamd_looked_at_at_once() {
    let mut clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    kept(settings(&clamd), |handle| async move {
        until(&handle, "up", is_found).await;
        clamd.kill_hard().unwrap();
        handle.connection_failed();
        let down = tokio::select! {
            state = until(&handle, "down", |state| !state.is_up()) => state,
            // The next PING of an idle keeper is further away.
            () = tokio::time::sleep(IDLE_PING) => panic!("nobody looked"),
        };
        assert!(matches!(down.presence, Presence::Down { .. }));
    })
    .await;
}

#[tokio::test]
async fn another_clamd_in_its_place_and_other_signatures_are_tried_though_it_was_never_seen_away() {
    let mut clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    kept(settings(&clamd), |handle| async move {
        let first = until(&handle, "up", is_found).await;
        let is_later = |before: &ClamdState| {
            let before = before.canary.as_ref().map(|canary| canary.at);
            move |state: &ClamdState| is_found(state) && state.canary.as_ref().map(|canary| canary.at) > before
        };
        // Between two PINGs of an idle keeper.
        clamd.kill_hard().unwrap();
        clamd.restart().unwrap();
        handle.connection_failed();
        let second = until(&handle, "tried again", is_later(&first)).await;
        assert_eq!(second.presence, first.presence, "it was seen away");
        clamd.reload_with("Shoal.Test.Other", b"ANOTHER-BAD-THING").unwrap();
        handle.connection_failed();
        until(&handle, "tried a third time", is_later(&second)).await;
    })
    .await;
}

#[tokio::test]
async fn a_clamd_that_hangs_is_down_and_comes_back() {
    let clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    let pid = Pid::from_raw(clamd.id().unwrap().cast_signed()).unwrap();
    kept(settings(&clamd), |handle| async move {
        until(&handle, "up", is_found).await;
        let busy = handle.busy();
        kill_process(pid, Signal::STOP).unwrap();
        let state = until(&handle, "down", |state| !state.is_up()).await;
        kill_process(pid, Signal::CONT).unwrap();
        let Presence::Down { kind, .. } = state.presence else {
            panic!("{:?}", state.presence);
        };
        assert_eq!(kind.as_str(), "busy");
        until(&handle, "up again", ClamdState::is_up).await;
        drop(busy);
    })
    .await;
    drop(clamd);
}

#[tokio::test]
async fn a_clamd_that_answers_and_does_not_detect_is_unhealthy_until_it_detects() {
    let clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    let (whole, body) = (
        clamd.database().join("whole.hdb"),
        clamd.database().join("Shoal.Test.Eicar.ndb"),
    );
    fs::remove_file(&whole).unwrap();
    fs::remove_file(&body).unwrap();
    // It judges by what is left once it has taken this one up.
    clamd.reload_with("Shoal.Test.Other", b"ANOTHER-BAD-THING").unwrap();
    kept(settings(&clamd), |handle| async move {
        let state = until(&handle, "tried", |state| state.canary.is_some()).await;
        assert!(state.is_up() && !state.is_guarding());
        let (status, block) = clamd_block(&state);
        assert_eq!(status, Status::Unhealthy);
        assert!(
            block["detail"].as_str().unwrap().contains("does not detect"),
            "{block:?}"
        );
        let eicar = testkit::eicar();
        clamd.reload_with("Shoal.Test.Eicar", &eicar).unwrap();
        let canary = handle.canary().await.unwrap();
        assert!(canary.is_found() && canary.last_found == Some(canary.at), "{canary:?}");
        assert_eq!(clamd_block(&handle.state().borrow()).0, Status::Healthy);
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_clamd_s_that_is_lower_than_configured_is_found_out() {
    for (real, extra, check) in [
        (
            8u64 << 20,
            None,
            (|looked| matches!(looked, Looked::Less { at, not_at } if at <= 8 << 20 && not_at > 8 << 20))
                as fn(Looked) -> bool,
        ),
        (8 << 20, Some("AlertExceedsMax yes"), |looked| {
            looked == Looked::Announced
        }),
        (32 << 20, None, |looked| looked == Looked::Whole),
    ] {
        let clamd = testkit::Clamd::start(ClamdOptions {
            max_file_size: real,
            extra: extra.map(str::to_owned).into_iter().collect(),
            ..ClamdOptions::default()
        })
        .unwrap();
        let mut settings = settings(&clamd);
        settings.max_file_size = 32 << 20;
        kept(settings, |handle| async move {
            let state = until(&handle, "tried", |state| state.looked.is_some()).await;
            assert!(check(state.looked.unwrap()), "{:?} of {real} {extra:?}", state.looked);
            let is_less = matches!(state.looked, Some(Looked::Less { .. }));
            assert_eq!(clamd_block(&state).0 == Status::Degraded, is_less);
        })
        .await;
    }
}

#[tokio::test]
async fn above_what_can_be_tried_a_lower_limit_is_found_and_what_is_not_proved_is_said() {
    const CONFIGURED: u64 = 1 << 30;
    let mut clamd = testkit::Clamd::start(ClamdOptions {
        max_file_size: 8 << 20,
        ..ClamdOptions::default()
    })
    .unwrap();
    let endpoint = clamd.socket().display().to_string().parse().unwrap();
    let less = look(&endpoint, CONFIGURED).await.unwrap().unwrap();
    assert!(
        matches!(less, Looked::Less { at, not_at } if at <= 8 << 20 && not_at > 8 << 20),
        "{less:?}"
    );
    let text = fs::read_to_string(clamd.configuration()).unwrap();
    let higher = text.replace("MaxFileSize 8388608", "MaxFileSize 1024M");
    let higher = higher.replace("MaxScanSize 400M", "MaxScanSize 1024M");
    fs::write(clamd.configuration(), higher).unwrap();
    clamd.restart().unwrap();
    let unproved = look(&endpoint, CONFIGURED).await.unwrap().unwrap();
    assert_eq!(unproved, Looked::Unproved { at: MOST_PROVED });
    let mut state = ClamdState::new("/run/clamd.ctl".parse().unwrap());
    state.presence = Presence::Up { since: Utc::now() };
    state.looked = Some(unproved);
    let (status, block) = clamd_block(&state);
    assert_eq!(status, Status::Healthy);
    assert!(block["detail"].as_str().unwrap().contains("not proved"), "{block:?}");
}

#[tokio::test]
async fn by_tcp_the_canary_goes_as_a_stream_and_switched_off_none_goes() {
    let clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    let mut settings = settings(&clamd);
    settings.endpoint = format!("tcp:{}", clamd.tcp()).parse().unwrap();
    let (sender, receiver) = watch::channel(settings.clone());
    let (keeper, handle) = Keeper::new(receiver);
    let stop = CancellationToken::new();
    let work = async {
        let state = until(&handle, "tried", is_found).await;
        assert_eq!(state.looked, None);
        settings.canary.enabled = false;
        sender.send_replace(settings);
        let state = until(&handle, "switched off", |state| state.canary.is_none()).await;
        assert!(state.is_guarding());
        assert_eq!(timeout(GUARD, handle.canary()).await.unwrap(), None);
        stop.cancel();
    };
    tokio::join!(keeper.run(stop.clone()), work);
    // One that has ended keeps nobody waiting.
    assert_eq!(timeout(GUARD, handle.canary()).await.unwrap(), None);
}

#[tokio::test]
async fn one_that_ended_amid_its_work_is_run_again_and_answers_what_was_asked_meanwhile() {
    let clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    let (_sender, receiver) = watch::channel(settings(&clamd));
    let (keeper, handle) = Keeper::new(receiver);
    let first = tokio::select! {
        () = keeper.run(CancellationToken::new()) => panic!("nobody stopped it"),
        state = until(&handle, "up", is_found) => state.canary.unwrap(),
    };
    // It was dropped amid its work, as by a panic: nobody waits for what does not come.
    assert_eq!(timeout(GUARD, handle.canary()).await.unwrap(), None);
    let stop = CancellationToken::new();
    let work = async {
        let later = |state: &ClamdState| is_found(state) && state.canary.as_ref().unwrap().at > first.at;
        until(&handle, "tried again", later).await;
        assert!(handle.canary().await.unwrap().is_found());
        stop.cancel();
    };
    tokio::join!(keeper.run(stop.clone()), work);
    assert_eq!(timeout(GUARD, handle.canary()).await.unwrap(), None);
}

#[tokio::test]
async fn a_canary_that_is_asked_for_before_it_runs_is_answered_though_clamd_is_away() {
    let mut clamd = testkit::Clamd::start(ClamdOptions::default()).unwrap();
    clamd.kill_hard().unwrap();
    let (_sender, receiver) = watch::channel(settings(&clamd));
    let (keeper, handle) = Keeper::new(receiver);
    let stop = CancellationToken::new();
    let mut asking = Box::pin(handle.canary());
    // It is asked for, and nobody runs yet.
    assert!(
        std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context)))
            .await
            .is_pending()
    );
    let work = async {
        let canary = timeout(GUARD, asking).await.unwrap().unwrap();
        assert!(matches!(canary.outcome, CanaryOutcome::NoVerdict { .. }), "{canary:?}");
        stop.cancel();
    };
    tokio::join!(keeper.run(stop.clone()), work);
}

#[test]
fn a_date_without_a_zone_is_this_machine_s_on_a_socket_and_utc_elsewhere() {
    let version = clamd_proto::Version::parse(b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026").unwrap();
    let database = version.database.unwrap();
    let utc: DateTime<Utc> = "2026-11-18T08:20:00Z".parse().unwrap();
    let remote = "tcp:10.0.0.1:3310".parse().unwrap();
    assert_eq!(state::made(database, &remote), Some(utc));
    let local = state::made(database, &"/run/clamd.ctl".parse().unwrap()).unwrap();
    let offset = local.with_timezone(&chrono::Local).offset().local_minus_utc();
    assert_eq!(local + TimeDelta::seconds(offset.into()), utc);
}

#[test]
fn files_that_change_are_others_and_freshclam_s_notes_are_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("own.ndb"), "a").unwrap();
    let before = DatabaseFiles::read(dir.path()).unwrap();
    fs::write(dir.path().join("freshclam.dat"), "a").unwrap();
    fs::create_dir(dir.path().join("tmp.1")).unwrap();
    assert_eq!(DatabaseFiles::read(dir.path()).unwrap(), before);
    assert!(before.daily.is_none() && before.newest().is_some());
    fs::write(
        dir.path().join("daily.cld"),
        "ClamAV-VDB:18 Nov 2026 08-20 +0000:27815:1:90:x",
    )
    .unwrap();
    let after = DatabaseFiles::read(dir.path()).unwrap();
    assert_ne!(after, before);
    assert_eq!(after.daily, Some(27815));
    assert!(DatabaseFiles::read(&dir.path().join("none")).is_err());
}
