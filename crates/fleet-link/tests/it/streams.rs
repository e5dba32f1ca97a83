//! Streams that end while they are delivered, and snapshots that a server wants.
use crate::{
    faults::{AGENT, bytes},
    rig::{Rig, impatient, paths, record},
    server::Server,
};
use chrono::{TimeDelta, Utc};
use core_model::{Backoff, Queue};
use daemon_kit::Dialect;
use fleet_link::{DeliveryError, DeliverySettings};
use std::time::Duration;
use testkit::{Fault, FaultyProxy, GUARD, Recorder};
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;

/// Waits that no test outlasts: what goes on does so because it was woken.
fn patient() -> DeliverySettings {
    let long = Duration::from_secs(3600);
    DeliverySettings {
        batch_size: 10,
        interval: long,
        least_wait: long,
        backoff: Backoff {
            first: long,
            longest: long,
        },
        ..impatient()
    }
}

async fn until_hanging(proxy: FaultyProxy) -> FaultyProxy {
    let waited = tokio::task::spawn_blocking(move || proxy.wait_for("hang", 1).map(|()| proxy));
    waited.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_stream_that_ends_under_way_is_left_at_once_for_the_next() {
    let recorder = Recorder::start().unwrap();
    let proxy = FaultyProxy::start(Some(recorder.address())).unwrap();
    proxy.script([(1, Fault::Hang)]).unwrap();
    let rig = Rig::with(&proxy.url(), &[], patient());
    rig.create(&paths(1, 100), 10);
    let old = rig.queue.stream();
    let delivery = rig.delivery.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { delivery.deliver_until_empty(&CancellationToken::new()).await });
    let proxy = until_hanging(proxy).await;

    let new = rig.queue.open_stream(&paths(1, 5));
    rig.delivery.wake().notify_one();
    let report = tasks.join_next().await.unwrap().unwrap();
    assert!(report.error.is_none(), "{report:?}");
    assert_eq!((report.sent, report.rejected, report.remaining), (7, 0, 0));
    assert_ne!(old, new);
    let streams: Vec<String> = recorder.streams().into_iter().map(|facts| facts.stream).collect();
    assert_eq!(streams, [new.to_string()], "of the old stream nothing more is said");
    assert_eq!(recorder.live(AGENT), bytes(&paths(1, 5)));
    assert_eq!(proxy.count("hang"), 1);
}

#[tokio::test]
async fn what_is_answered_of_a_stream_that_is_no_more_takes_nothing_from_the_next() {
    // The new stream's first run has the same first number as the old one's, which the answer is about.
    let recorder = Recorder::start().unwrap();
    let proxy = FaultyProxy::start(Some(recorder.address())).unwrap();
    proxy.set(Fault::Refuse).unwrap();
    let rig = Rig::with(&proxy.url(), &[], patient());
    rig.create(&paths(1, 10), 10);
    let old = rig.queue.stream();
    rig.deliver().await;
    rig.queue.open_stream(&paths(1, 2));
    rig.queue.ack(old, &[1, 2]).unwrap();
    proxy.set(Fault::Pass).unwrap();
    assert_eq!(rig.deliver().await.sent, 4);
    assert_eq!(recorder.newest_stream(AGENT).unwrap().gaps, []);
}

#[tokio::test]
async fn a_wanted_snapshot_is_told_and_delivered_without_a_wait() {
    let recorder = Recorder::start().unwrap();
    let rig = Rig::with(&recorder.url(), &[], patient());
    rig.create(&paths(1, 20), 10);
    rig.deliver().await;
    let old = rig.queue.stream();
    // The server is restored from nothing.
    recorder.reset();
    rig.create(&paths(21, 22), 10);
    rig.when_wanted(|queue| {
        queue.open_stream(&paths(1, 22));
    });
    let (delivery, stop) = (rig.delivery.clone(), CancellationToken::new());
    let mut status = delivery.status();
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.run(told).await });
    status.wait_for(|status| status.sent == 20 + 24).await.unwrap();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(*rig.snapshots.lock().unwrap(), [old]);
    assert_eq!(recorder.live(AGENT), bytes(&paths(1, 22)));
}

#[tokio::test]
async fn a_server_that_wants_one_snapshot_after_another_is_not_sent_them_in_a_hurry() {
    let proxy = FaultyProxy::start(None).unwrap();
    proxy.set(Fault::problem(409, "snapshot_wanted")).unwrap();
    let rig = Rig::with(&proxy.url(), &[], patient());
    rig.create(&paths(1, 20), 10);
    rig.when_wanted(|queue| {
        queue.open_stream(&paths(1, 20));
    });
    let (delivery, stop) = (rig.delivery.clone(), CancellationToken::new());
    let mut status = delivery.status();
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.run(told).await });
    // The first is answered at once; after the second it waits as after any failure, here for an hour at least.
    let is_waiting = |status: &fleet_link::DeliveryStatus| status.failures == 2 && status.next_try.is_some();
    let waiting = time::timeout(GUARD, status.wait_for(is_waiting))
        .await
        .expect("it waits");
    let next_try = waiting.unwrap().next_try.unwrap();
    assert!(next_try > Utc::now() + TimeDelta::minutes(59), "{next_try}");
    rig.delivery.wake().notify_one();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!((rig.snapshots.lock().unwrap().len(), proxy.connections()), (2, 2));
}

#[tokio::test]
async fn a_snapshot_that_comes_later_is_delivered_when_it_comes_and_nothing_before() {
    let recorder = Recorder::start().unwrap();
    let rig = Rig::with(&recorder.url(), &[], patient());
    rig.create(&paths(1, 20), 10);
    rig.deliver().await;
    recorder.reset();
    rig.create(&paths(21, 22), 10);
    let (delivery, stop) = (rig.delivery.clone(), CancellationToken::new());
    let mut status = delivery.status();
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.run(told).await });
    let seen = status
        .wait_for(|status| status.next_try.is_some())
        .await
        .unwrap()
        .clone();
    assert!(seen.error.unwrap().contains("wants a full snapshot"));
    assert_eq!(recorder.totals().requests, 1);
    // More of the stream that the server does not want is no reason to ask again.
    rig.create(&paths(23, 24), 10);
    rig.delivery.wake().notify_one();
    tokio::task::yield_now().await;
    rig.queue.open_stream(&paths(1, 24));
    rig.delivery.wake().notify_one();
    status.wait_for(|status| status.sent == 20 + 26).await.unwrap();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    let streams = recorder.streams();
    assert_eq!((streams.len(), recorder.totals().repeats), (1, 0));
    assert_eq!(recorder.live(AGENT), bytes(&paths(1, 24)));
}

#[tokio::test]
async fn without_an_answer_the_product_is_told_again_with_the_next_try() {
    let recorder = Recorder::start().unwrap();
    let rig = Rig::with(&recorder.url(), &[], impatient());
    rig.create(&paths(1, 2), 10);
    rig.deliver().await;
    recorder.reset();
    rig.create(&paths(3, 3), 10);
    for _ in 0..2 {
        let report = rig.deliver().await;
        assert!(
            matches!(report.error, Some(DeliveryError::SnapshotWanted { .. })),
            "{report:?}"
        );
    }
    assert_eq!(rig.snapshots.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_document_has_no_place_for_the_frame_of_a_snapshot_and_does_not_miss_it() {
    let server = Server::start();
    let rig = Rig::speaking(Dialect::FilesV1, &server.url, impatient());
    let frame = [
        record("snapshot.begin", r#"{"reason":"first"}"#),
        record("snapshot.end", "{}"),
    ];
    rig.enqueue_raw(2, &frame.concat());
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (0, 0, 0),
        "{report:?}"
    );
    assert!(server.kept().seen.is_empty(), "nothing to say, nothing said");

    rig.queue.open_stream(&paths(1, 3));
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (3, 0, 0),
        "{report:?}"
    );
    assert!(rig.refusals().is_empty());
    let document: serde_json::Value = serde_json::from_slice(&server.kept().seen[0].body).unwrap();
    assert_eq!(document["files"].as_array().unwrap().len(), 3);
    server.stop().await;
}
