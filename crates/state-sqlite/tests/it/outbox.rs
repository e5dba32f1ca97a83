use crate::{now, open, run};
use core_model::{Queue, Run};
use proptest::prelude::*;
use state_sqlite::Outbox;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Enqueue(Vec<(u32, Vec<u8>)>),
    Peek { after: u64, limit: usize },
    Ack(Vec<u64>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Long bodies of few letters are compressed, short and random ones are not.
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(97..100u8, 500..2000)
    ];
    let step = prop_oneof![
        3 => prop::collection::vec((1..5u32, body), 0..4).prop_map(Step::Enqueue),
        2 => (0..60u64, 0..10usize).prop_map(|(after, limit)| Step::Peek { after, limit }),
        2 => prop::collection::vec(1..60u64, 0..6).prop_map(Step::Ack),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_does_what_a_plain_map_does(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let mut outbox = Outbox::open(&open(&path)).unwrap();
        let stream = outbox.stream();
        let mut model: BTreeMap<u64, (u32, Vec<u8>)> = BTreeMap::new();
        let mut next = 1;
        for step in steps {
            match step {
                Step::Enqueue(runs) => {
                    let bodies: Vec<Run> = runs.iter().map(|(records, body)| run(*records, body)).collect();
                    let seqs = outbox.enqueue(&bodies, now()).unwrap();
                    let first = next;
                    for (records, body) in runs {
                        model.insert(next, (records, body));
                        next += u64::from(records);
                    }
                    prop_assert_eq!(seqs.map(|seqs| (seqs.first, seqs.last)), (first < next).then(|| (first, next - 1)));
                }
                Step::Peek { after, limit } => {
                    let seen: Vec<_> = outbox.peek(outbox.stream(), after, limit).unwrap().into_iter()
                        .map(|run| (run.seqs.first, (u32::try_from(run.seqs.last - run.seqs.first + 1).unwrap(), run.body.unwrap())))
                        .collect();
                    let wanted: Vec<_> = model.range(after + 1..).take(limit).map(|(seq, run)| (*seq, run.clone())).collect();
                    prop_assert_eq!(seen, wanted);
                }
                Step::Ack(seqs) => {
                    outbox.ack(outbox.stream(), &seqs).unwrap();
                    model.retain(|seq, _| !seqs.contains(seq));
                }
                Step::Reopen => {
                    drop(outbox);
                    outbox = Outbox::open(&open(&path)).unwrap();
                }
            }
            let stats = outbox.stats().unwrap();
            let records: u64 = model.values().map(|(records, _)| u64::from(*records)).sum();
            prop_assert_eq!((stats.records, stats.runs, stats.last_seq), (records, model.len() as u64, next - 1));
            prop_assert_eq!(stats.oldest.is_some(), !model.is_empty());
            prop_assert_eq!(stats.bytes == 0, model.values().all(|(_, body)| body.is_empty()));
        }
        prop_assert_eq!(outbox.stream(), stream);
    }
}

#[test]
fn a_number_is_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let outbox = Outbox::open(&open(&path)).unwrap();
    outbox.enqueue(&[run(3, b"abc")], now()).unwrap();
    outbox.ack(outbox.stream(), &[1]).unwrap();
    drop(outbox);
    let seqs = Outbox::open(&open(&path))
        .unwrap()
        .enqueue(&[run(1, b"d")], now())
        .unwrap()
        .unwrap();
    assert_eq!(seqs.first, 4);
}

#[test]
fn a_flipped_byte_in_a_body_is_noticed_and_only_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let marked = b"the body whose byte is flipped on the disk";
    {
        let database = open(&path);
        let outbox = Outbox::open(&database).unwrap();
        outbox
            .enqueue(&[run(1, b"before"), run(2, marked), run(1, b"after")], now())
            .unwrap();
        database
            .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
            .unwrap();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(marked.len()).position(|window| window == marked).unwrap();
    bytes[at + 5] ^= 0x20;
    std::fs::write(&path, bytes).unwrap();
    let outbox = Outbox::open(&open(&path)).unwrap();
    let runs = outbox.peek(outbox.stream(), 0, 10).unwrap();
    let damaged = runs[1].body.as_ref().unwrap_err();
    assert_eq!((damaged.seqs.first, damaged.seqs.last), (2, 3));
    assert_eq!(runs[0].body.as_deref().unwrap(), b"before");
    assert_eq!(runs[2].body.as_deref().unwrap(), b"after");
}
