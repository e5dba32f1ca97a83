//! Delivery to a fleet controller, with everything that can go wrong on the way.
use crate::{
    rig::{Rig, impatient},
    server::{Act, Nobody, Server},
};
use core_model::Queue;
use fleet_link::{DeliveryError, DeliverySettings};
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

fn all(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[tokio::test]
async fn everything_waits_for_a_server_that_is_down_and_is_delivered_once_when_it_is_up() {
    let nobody = Nobody::new();
    let rig = Rig::new(&nobody.url(), &[3, 4, 5]);
    let report = rig.deliver().await;
    let error = report.error.unwrap();
    assert!(
        matches!(error, DeliveryError::Unavailable(_)) && error.is_temporary(),
        "{error}"
    );
    assert_eq!((report.sent, report.remaining), (0, 12));
    assert!(
        rig.delivery
            .status()
            .borrow()
            .error
            .as_ref()
            .unwrap()
            .contains("could not connect")
    );

    let server = nobody.listen();
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.remaining, report.error.is_none()),
        (12, 0, true),
        "{report:?}"
    );
    assert_eq!(server.seqs(), all(12));
    assert_eq!(server.requests(), [all(12)], "one request, whole runs");
    assert_eq!(rig.deliver().await.sent, 0, "nothing is sent twice");
    assert_eq!(server.kept().seen.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_failure_midway_keeps_what_was_not_answered_for() {
    let server = Server::start();
    server.script([Act::Take, Act::Answer(503, ""), Act::Answer(503, "")]);
    let rig = Rig::with(
        &server.url,
        &[10; 5],
        DeliverySettings {
            batch_size: 10,
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    let report = rig.deliver().await;
    assert!(matches!(report.error, Some(DeliveryError::Unavailable(_))));
    assert_eq!((report.sent, report.remaining), (10, 40));
    assert_eq!(rig.deliver().await.sent, 40);
    assert_eq!(server.seqs(), all(50));
    server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_numbers_and_id() {
    for act in [Act::TakeAndHangUp, Act::TakeAndAnswer(502)] {
        let server = Server::start();
        server.script([act, Act::Answer(503, "")]);
        let rig = Rig::new(&server.url, &[3]);
        assert!(
            rig.deliver().await.error.is_some(),
            "the client's own repetition fails too"
        );
        assert_eq!(rig.deliver().await.sent, 3);
        let seen = server.kept().seen.clone();
        assert_eq!(server.requests(), [all(3), all(3), all(3)]);
        assert_eq!(seen.iter().map(|seen| &seen.batch_id).collect::<BTreeSet<_>>().len(), 1);
        assert_eq!(server.seqs(), all(3));
        server.stop().await;
    }
}

#[tokio::test]
async fn requests_in_parallel_are_acknowledged_in_whatever_order_they_are_answered() {
    let server = Server::start();
    // Nothing of a stream overtakes its first record, which a controller has to see first.
    server.script([Act::Take]);
    let (mut here, mut go) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (arrived, is_here) = oneshot::channel();
        let (answer, may_answer) = oneshot::channel();
        server.script([Act::Hold(arrived, may_answer)]);
        here.push(is_here);
        go.push(answer);
    }
    let rig = Rig::with(
        &server.url,
        &[10; 4],
        DeliverySettings {
            batch_size: 10,
            concurrent_api_calls: 3,
            ..impatient()
        },
    );
    let delivery = rig.delivery.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { delivery.deliver_until_empty(&CancellationToken::new()).await });
    for is_here in here {
        is_here.await.unwrap();
    }
    // All three are under way. The last to arrive is answered first, and its run leaves the queue before the others.
    for (left, answer) in [2, 1, 0].into_iter().zip(go.into_iter().rev()) {
        answer.send(()).unwrap();
        rig.until_runs(left).await;
    }
    let report = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((report.sent, report.remaining), (40, 0));
    assert_eq!(server.requests()[0], all(10));
    server.stop().await;
}

#[tokio::test]
async fn refused_records_are_told_by_their_own_text_and_the_others_are_delivered() {
    let server = Server::start();
    server.kept().refused = BTreeSet::from([2, 5]);
    let rig = Rig::new(&server.url, &[4, 4]);
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.rejected, report.remaining), (6, 2, 0));
    assert_eq!(server.seqs(), [1, 3, 4, 6, 7, 8]);
    let refusals = rig.refusals();
    let told: Vec<_> = refusals
        .iter()
        .map(|refusal| (refusal.rejected.seq, refusal.rejected.code.as_str()))
        .collect();
    assert_eq!(told, [(2, "invalid_body"), (5, "invalid_body")]);
    let record: serde_json::Value = serde_json::from_slice(&refusals[1].record).unwrap();
    assert_eq!(record["body"]["path"], "/data/5");
    server.stop().await;
}

#[tokio::test]
async fn a_poisoned_record_is_found_by_halving_and_the_others_are_delivered() {
    let server = Server::start();
    server.kept().poisoned = BTreeSet::from([7, 8, 40]);
    let rig = Rig::new(&server.url, &[10; 10]);
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.rejected, report.remaining), (97, 3, 0));
    let told: BTreeSet<u64> = rig.refusals().iter().map(|refusal| refusal.rejected.seq).collect();
    assert_eq!(told, BTreeSet::from([7, 8, 40]));
    assert_eq!(rig.refusals()[0].rejected.code, "invalid_request");
    assert!(
        server.requests().len() < 60,
        "halving, not one by one: {}",
        server.requests().len()
    );
    server.stop().await;
}

#[tokio::test]
async fn a_bare_400_is_not_taken_for_the_controller_s_word() {
    let server = Server::start();
    server.script([Act::Answer(400, "")]);
    let rig = Rig::new(&server.url, &[10]);
    let report = rig.deliver().await;
    assert!(matches!(report.error, Some(DeliveryError::Unexpected(_))), "{report:?}");
    assert_eq!((report.rejected, report.remaining), (0, 10));
    server.stop().await;
}

#[tokio::test]
async fn a_413_halves_requests_until_they_fit_and_is_remembered() {
    let server = Server::start();
    server.kept().most = Some(30);
    let rig = Rig::with(
        &server.url,
        &[20; 10],
        DeliverySettings {
            batch_size: 200,
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.remaining), (200, 0), "{report:?}");
    assert_eq!(server.seqs(), all(200));
    let asked = server.requests().len();
    rig.enqueue(&[100]);
    rig.deliver().await;
    let later: Vec<usize> = server.requests()[asked..].iter().map(Vec::len).collect();
    assert!(later.iter().all(|records| *records <= 30), "{later:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_record_that_alone_is_too_large_is_refused() {
    let server = Server::start();
    // Both, then the first by itself; the second is taken.
    server.script([Act::Answer(413, "too_large"), Act::Answer(413, "too_large")]);
    let rig = Rig::with(
        &server.url,
        &[2],
        DeliverySettings {
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (1, 1, 0),
        "{report:?}"
    );
    let refusals = rig.refusals();
    assert_eq!(
        (refusals[0].rejected.seq, refusals[0].rejected.code.as_str()),
        (1, "too_large")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_not_believed_until_it_takes_something() {
    let server = Server::start();
    server.kept().poisoned = (1..=300).collect();
    let rig = Rig::new(&server.url, &[100; 3]);
    let report = rig.deliver().await;
    let error = report.error.unwrap();
    assert!(
        matches!(error, DeliveryError::AllRefused { records, .. } if records >= 64),
        "{error:?}"
    );
    assert!(
        !error.is_temporary() && error.to_string().contains("`server.dialect`"),
        "{error}"
    );
    assert_eq!(
        (report.rejected, report.remaining, rig.refusals().len()),
        (0, 300, 0),
        "nothing is given up"
    );
    let asked = server.requests().len();
    assert!(asked < 200, "{asked} requests");
    let report = rig.deliver().await;
    assert!(matches!(report.error, Some(DeliveryError::AllRefused { .. })));
    assert!(
        server.requests().len() - asked < 40,
        "the second time it is known sooner"
    );

    // The server is put right, but for three records.
    server.kept().poisoned = BTreeSet::from([1, 2, 250]);
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (297, 3, 0),
        "{report:?}"
    );
    let told: Vec<u64> = rig.refusals().iter().map(|refusal| refusal.rejected.seq).collect();
    assert_eq!(told, [1, 2, 250]);
    server.stop().await;
}

#[tokio::test]
async fn one_refused_record_alone_waits_for_another_that_is_taken() {
    let server = Server::start();
    server.kept().poisoned = BTreeSet::from([1]);
    let rig = Rig::new(&server.url, &[1]);
    assert!(matches!(
        rig.deliver().await.error,
        Some(DeliveryError::AllRefused { records: 1, .. })
    ));
    rig.enqueue(&[1]);
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (1, 1, 0),
        "{report:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn one_refused_record_alone_is_given_up_where_the_server_took_others_just_before() {
    let server = Server::start();
    server.kept().poisoned = BTreeSet::from([2]);
    let rig = Rig::new(&server.url, &[1]);
    assert_eq!(rig.deliver().await.sent, 1);
    rig.enqueue(&[1]);
    let report = rig.deliver().await;
    assert_eq!(
        (report.sent, report.rejected, report.remaining),
        (0, 1, 0),
        "{report:?}"
    );
    assert_eq!(rig.refusals()[0].rejected.seq, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_refused_key_says_what_to_do_and_loses_nothing() {
    for status in [401, 403] {
        let server = Server::start();
        server.script([Act::Answer(status, "unknown_key")]);
        let rig = Rig::new(&server.url, &[5]);
        let report = rig.deliver().await;
        let error = report.error.unwrap();
        assert!(matches!(error, DeliveryError::Unauthorized(_)) && !error.is_temporary());
        assert!(
            error.to_string().contains("server.api_key") && error.to_string().contains("enrol again"),
            "{error}"
        );
        assert_eq!(
            (report.remaining, server.kept().seen.len()),
            (5, 1),
            "a refused key is not tried again and again"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn a_wanted_snapshot_is_an_error_of_its_own() {
    let server = Server::start();
    server.script([Act::Answer(409, "snapshot_wanted")]);
    let rig = Rig::new(&server.url, &[5]);
    let report = rig.deliver().await;
    assert!(matches!(report.error, Some(DeliveryError::SnapshotWanted { stream, .. }) if stream == rig.queue.stream()));
    assert_eq!(report.remaining, 5);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_takes_a_part_gets_the_rest_and_one_that_takes_nothing_is_left_alone() {
    let server = Server::start();
    server.script([Act::TakeFirst(7), Act::TakeFirst(1)]);
    let rig = Rig::new(&server.url, &[5, 5]);
    assert_eq!(rig.deliver().await.sent, 10);
    assert_eq!(server.requests(), [all(10), (8..=10).collect(), (9..=10).collect()]);
    server.script([Act::TakeFirst(0)]);
    rig.enqueue(&[2]);
    let report = rig.deliver().await;
    assert!(
        matches!(report.error, Some(DeliveryError::NothingTaken { first: 11, last: 12 })),
        "{report:?}"
    );
    assert_eq!(report.remaining, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_run_longer_than_a_request_is_cut_and_leaves_the_queue_as_one() {
    let server = Server::start();
    server.script([Act::Take, Act::Answer(503, ""), Act::Answer(503, "")]);
    let rig = Rig::with(
        &server.url,
        &[25],
        DeliverySettings {
            batch_size: 10,
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.remaining), (10, 25), "a run goes as a whole");
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.remaining), (25, 0), "and is sent again as a whole");
    assert_eq!(server.seqs(), all(25));
    server.stop().await;
}

#[tokio::test]
async fn damaged_records_are_counted_and_the_server_sees_the_gap() {
    let server = Server::start();
    let rig = Rig::new(&server.url, &[3]);
    rig.enqueue_raw(4, b"{\"kind\":\"file.deleted\"}\n");
    rig.enqueue(&[2]);
    let report = rig.deliver().await;
    assert_eq!((report.sent, report.damaged, report.remaining), (5, 4, 0));
    assert_eq!(server.seqs(), [1, 2, 3, 8, 9]);
    server.stop().await;
}

#[tokio::test]
async fn told_to_stop_it_hands_back_what_is_under_way() {
    let server = Server::start();
    let (arrived, is_here) = oneshot::channel();
    let (_never, may_answer) = oneshot::channel();
    server.script([Act::Hold(arrived, may_answer)]);
    let rig = Rig::with(
        &server.url,
        &[10, 10],
        DeliverySettings {
            batch_size: 10,
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    let (delivery, stop) = (rig.delivery.clone(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.deliver_until_empty(&told).await });
    is_here.await.unwrap();
    stop.cancel();
    let report = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(
        (report.sent, report.remaining, report.error.is_none()),
        (0, 20, true),
        "{report:?}"
    );
    assert_eq!(server.kept().seen.len(), 1, "nothing new was begun");
    server.stop().await;
}

#[tokio::test]
async fn running_it_delivers_what_is_enqueued_later_and_recovers_by_itself() {
    let server = Server::start();
    server.script([Act::Answer(503, ""), Act::Answer(503, "")]);
    let rig = Rig::with(
        &server.url,
        &[1],
        DeliverySettings {
            interval: Duration::from_millis(1),
            ..impatient()
        },
    );
    let (delivery, stop, mut status) = (rig.delivery.clone(), CancellationToken::new(), rig.delivery.status());
    let mut tasks = JoinSet::new();
    let told = stop.clone();
    tasks.spawn(async move { delivery.run(told).await });
    status.wait_for(|status| status.failures == 1).await.unwrap();
    status
        .wait_for(|status| status.sent == 1 && status.error.is_none())
        .await
        .unwrap();
    rig.enqueue(&[2]);
    rig.delivery.wake().notify_one();
    status.wait_for(|status| status.sent == 3).await.unwrap();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(server.seqs(), all(3));
    server.stop().await;
}

#[tokio::test]
async fn new_settings_hold_from_the_next_round_on() {
    let server = Server::start();
    let rig = Rig::with(
        &server.url,
        &[1; 20],
        DeliverySettings {
            batch_size: 20,
            concurrent_api_calls: 1,
            ..impatient()
        },
    );
    rig.deliver().await;
    rig.settings.send_modify(|settings| settings.batch_size = 10);
    rig.enqueue(&[1; 20]);
    rig.deliver().await;
    assert_eq!(server.requests().iter().map(Vec::len).collect::<Vec<_>>(), [20, 10, 10]);
    server.stop().await;
}
