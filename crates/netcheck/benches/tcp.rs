//! A TCP check of the loopback from its beginning to its end, with the accepting side in the same thread, against the bare
//! system calls that it cannot do without.
#![allow(missing_docs, reason = "criterion's macros make items without documentation")]
use criterion::{Criterion, criterion_group, criterion_main};
use netcheck::tcp::{self, TcpOptions};
use std::net::{TcpListener, TcpStream};

fn check(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (Ok(runtime), Ok(listener)) = (runtime, TcpListener::bind("127.0.0.1:0")) else {
        return;
    };
    let Ok(address) = listener.local_addr() else { return };
    let target = address.to_string();
    // A reset leaves no entry behind, of which there would soon be no more.
    let options = TcpOptions {
        reset: true,
        ..TcpOptions::default()
    };
    let mut group = criterion.benchmark_group("tcp");
    group.bench_function("check", |bencher| {
        bencher.iter(|| {
            let report = runtime.block_on(tcp::check(&target, &options));
            drop(listener.accept());
            report.failure
        });
    });
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            let stream = TcpStream::connect(address);
            drop(listener.accept());
            stream.is_ok()
        });
    });
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
