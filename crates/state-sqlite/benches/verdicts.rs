//! What remembered verdicts cost: 100,000 files in 5,000 directories, recalled one directory after another as a walk does,
//! and stored as they are judged. One thread; the state is in the page cache.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]
use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use state_sqlite::{Basis, DirKey, FileFacts, Judged, Judgement, Recalled, VerdictOptions, Verdicts};
use std::hint::black_box;
use tempfile::TempDir;

const DIRS: u64 = 5_000;
const FILES: u64 = 20;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn key(dir: u64) -> DirKey {
    DirKey {
        volume: 7,
        inode: 1000 + dir * 37,
    }
}

fn files(dir: u64) -> impl Iterator<Item = FileFacts> {
    (0..FILES).map(move |file| FileFacts {
        inode: 1001 + dir * 37 + file,
        size: file * 1000,
        mtime_ns: 1_600_000_000_000_000_000 + file as i64,
        ctime_ns: 1_600_000_000_000_000_001 + file as i64,
        btime_ns: 1_600_000_000_000_000_000,
    })
}

fn empty() -> (TempDir, Verdicts) {
    let temp = TempDir::new().unwrap();
    let store = Verdicts::open_file(&temp.path().join("verdicts.db"), VerdictOptions::default()).unwrap();
    let basis = Basis {
        engine: "1.4".to_owned(),
        signatures: "27815".to_owned(),
        limits: String::new(),
    };
    store.use_basis(&basis, now()).unwrap();
    (temp, store)
}

fn fill(store: &Verdicts) {
    let basis = store.basis().unwrap();
    for dir in 0..DIRS {
        let judged: Vec<_> = files(dir)
            .map(|file| Judged {
                before: file,
                after: file,
                began_ns: now().timestamp_nanos_opt().unwrap(),
                synced: false,
                judgement: Judgement::Clean,
                basis,
            })
            .collect();
        store.remember(key(dir), &judged, now()).unwrap();
    }
    store.flush(now()).unwrap();
}

fn verdicts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("100,000 verdicts in 5,000 directories");
    group.sample_size(20);
    let (_temp, store) = empty();
    fill(&store);
    println!(
        "{} KB of rows, {} KB on disk",
        store.bytes().unwrap() >> 10,
        store.database().size() >> 10
    );
    let mut reader = store.reader().unwrap();
    group.bench_function("recall all", |bencher| {
        bencher.iter(|| {
            let mut holds = 0_u64;
            for dir in 0..DIRS {
                let mut known = reader.directory(key(dir)).unwrap();
                for file in files(dir) {
                    holds += u64::from(matches!(known.recall(&file), Recalled::Holds(_)));
                }
                known.seen(now()).unwrap();
            }
            assert_eq!(holds, DIRS * FILES);
            black_box(holds)
        });
    });
    group.bench_function("count all", |bencher| bencher.iter(|| store.census().unwrap()));
    group.bench_function("store all", |bencher| {
        let fill = |(temp, store): (TempDir, Verdicts)| {
            fill(&store);
            (temp, store)
        };
        bencher.iter_batched(empty, fill, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
