//! Whatever the server does, in the end it has every record once.
use crate::{
    rig::{Rig, impatient},
    server::{Act, Server},
};
use core_model::Queue;
use fleet_link::{DeliveryError, DeliverySettings};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What is drawn for one request: an [`Act`] is no plain value.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Take,
    TakeFirst(u64),
    Answer(u16, &'static str),
    TakeAndAnswer(u16),
    HangUp,
    TakeAndHangUp,
}

fn fate() -> impl Strategy<Value = Fate> {
    let answers = prop_oneof![
        Just((500, "")),
        Just((503, "")),
        Just((429, "")),
        Just((401, "unknown_key")),
        Just((404, "")),
        Just((409, "snapshot_wanted")),
        Just((400, "")),
    ];
    prop_oneof![
        3 => Just(Fate::Take),
        2 => (0u64..12).prop_map(Fate::TakeFirst),
        3 => answers.prop_map(|(status, code)| Fate::Answer(status, code)),
        2 => Just(Fate::TakeAndAnswer(502)),
        1 => Just(Fate::HangUp),
        2 => Just(Fate::TakeAndHangUp),
    ]
}

fn act(fate: Fate) -> Act {
    match fate {
        Fate::Take => Act::Take,
        Fate::TakeFirst(count) => Act::TakeFirst(count),
        Fate::Answer(status, code) => Act::Answer(status, code),
        Fate::TakeAndAnswer(status) => Act::TakeAndAnswer(status),
        Fate::HangUp => Act::HangUp,
        Fate::TakeAndHangUp => Act::TakeAndHangUp,
    }
}

#[derive(Clone, Debug)]
struct Case {
    runs: Vec<u32>,
    fates: Vec<Fate>,
    batch_size: usize,
    concurrent_api_calls: usize,
    refused: BTreeSet<u64>,
    poisoned: BTreeSet<u64>,
    most: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let runs = prop::collection::vec(1u32..30, 1..12);
    let fates = prop::collection::vec(fate(), 0..12);
    let some = || prop::collection::btree_set(1u64..150, 0..4);
    (runs, fates, 1usize..40, 1usize..6, some(), some(), 1usize..50).prop_map(
        |(runs, fates, batch_size, concurrent_api_calls, refused, poisoned, most)| Case {
            runs,
            fates,
            batch_size,
            concurrent_api_calls,
            refused,
            poisoned,
            most,
        },
    )
}

async fn deliver(case: Case) {
    let server = Server::start();
    let rounds = case.fates.len() + 1;
    server.script(case.fates.into_iter().map(act));
    {
        let mut kept = server.kept();
        (kept.refused, kept.poisoned) = (case.refused.clone(), case.poisoned.clone());
        kept.most = Some(case.most);
    }
    let settings = DeliverySettings {
        batch_size: case.batch_size,
        concurrent_api_calls: case.concurrent_api_calls,
        ..impatient()
    };
    let rig = Rig::with(&server.url, &case.runs, settings);
    // Each round that fails has used up at least one step of the script.
    let mut remaining = u64::MAX;
    for _ in 0..rounds {
        let report = rig.deliver().await;
        remaining = report.remaining;
        if report.error.is_none() {
            break;
        }
        if matches!(report.error, Some(DeliveryError::AllRefused { .. })) {
            // What is refused is kept until something is taken; from 150 on everything is acceptable.
            rig.enqueue(&[150]);
            remaining = rig.deliver().await.remaining;
        }
    }
    assert_eq!(remaining, 0, "everything left the queue");

    let last = rig.queue.stats().unwrap().last_seq;
    let told: BTreeSet<u64> = rig.refusals().iter().map(|refusal| refusal.rejected.seq).collect();
    let kept: BTreeSet<u64> = server.seqs().into_iter().collect();
    assert_eq!(
        kept.union(&told).copied().collect::<BTreeSet<u64>>(),
        (1..=last).collect(),
        "none is lost"
    );
    let unacceptable: BTreeSet<u64> = case.refused.union(&case.poisoned).copied().collect();
    assert!(
        told.is_subset(&unacceptable),
        "only what the server will not take is told: {told:?}"
    );
    server.stop().await;
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(40)
}

proptest! {
    // Each case writes a real state file and speaks to a real server, so a usual run has few; a soak asks for more.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_record_arrives_once_whatever_fails(case in case()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(deliver(case));
    }
}
