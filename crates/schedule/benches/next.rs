//! The next run and the last one: of a night's job, of an interval, where clocks change, and of what never comes.
#![allow(missing_docs, reason = "criterion's macros make items without documentation")]
use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use schedule::{Schedule, Zone};
use std::hint::black_box;

fn next(criterion: &mut Criterion) {
    let cases = [
        ("nightly", "30 2 * * *", "2027-01-10T12:00:00Z"),
        ("nightly, into a gap", "30 2 * * *", "2027-03-27T12:00:00Z"),
        ("each five minutes", "*/5 * * * *", "2027-01-10T12:00:00Z"),
        (
            "each five minutes, in the repeated hour",
            "*/5 * * * *",
            "2027-10-31T00:30:00Z",
        ),
        ("either day", "0 0 29 2 MON", "2027-01-10T12:00:00Z"),
        ("leap day", "0 0 29 2 *", "2027-01-10T12:00:00Z"),
        ("never", "0 0 31 2 *", "2027-01-10T12:00:00Z"),
        ("every six hours", "every 6h", "2027-01-10T12:00:00Z"),
    ];
    for (name, text, now) in cases {
        let (Ok(schedule), Ok(zone), Ok(now)) = (
            text.parse::<Schedule>(),
            "Europe/Berlin".parse::<Zone>(),
            now.parse::<DateTime<Utc>>(),
        ) else {
            continue;
        };
        criterion.bench_function(&format!("next: {name}"), |bencher| {
            bencher.iter(|| schedule.next_after(black_box(now), zone));
        });
        criterion.bench_function(&format!("last: {name}"), |bencher| {
            bencher.iter(|| schedule.last_until(black_box(now), zone));
        });
    }
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| black_box("*/5 22-4 1-7,15 * MON-FRI").parse::<Schedule>());
    });
}

criterion_group!(benches, next);
criterion_main!(benches);
