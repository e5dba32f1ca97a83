//! What the codec takes of a file: its command, and the reply to it.
#![allow(missing_docs, reason = "criterion's macros make items without documentation")]
use clamd_proto::{Command, Decoder, Reply, Stats, Subject, split_id};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, path::Path};

const STATS: &[u8] = b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 2  idle 0 max 2 idle-timeout 30\n\
    QUEUE: 16 items min_wait: 2.061168 max_wait: 2.090573 avg_wait: 2.064767\n\tSTATS 0.000001 \n\
    \tFILDES 1.184575 fd[17]\n\nMEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 \
    pools_used 5.891M pools_total 5.972M\nEND";

fn codec(criterion: &mut Criterion) {
    let replies: Vec<u8> = (1..=1000)
        .flat_map(|id| format!("{id}: fd[{}]: OK\0", id % 40).into_bytes())
        .collect();
    let mut group = criterion.benchmark_group("replies");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("to descriptors", |bencher| {
        bencher.iter(|| {
            let mut decoder = Decoder::default();
            decoder.feed(black_box(&replies));
            let mut clean = 0;
            while let Ok(Some(reply)) = decoder.next_reply() {
                let read = split_id(reply).and_then(|(_, said)| Reply::parse(said, Subject::Descriptor));
                clean += usize::from(read.is_ok());
            }
            clean
        });
    });
    group.finish();
    let path = Path::new("/srv/home/somebody/documents/a letter.txt");
    criterion.bench_function("command with a path", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            Command::Scan(black_box(path)).encode(&mut out)
        });
    });
    criterion.bench_function("stats", |bencher| bencher.iter(|| Stats::parse(black_box(STATS))));
}

criterion_group!(benches, codec);
criterion_main!(benches);
