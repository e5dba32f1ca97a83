//! Random mutations of a real tree against a slow and simple oracle.
use fsscan::testing::{Random, soak};

#[test]
fn thousands_of_mutations_are_told_exactly() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("FSSCAN_SEED").unwrap_or(20_261_121);
    let trees = number("FSSCAN_TREES").unwrap_or(10);
    let mut seeds = Random::new(seed);
    let mut mutations = 0;
    for _ in 0..trees {
        let dir = tempfile::tempdir().unwrap();
        let report = soak(dir.path(), seeds.bits(), 60).unwrap_or_else(|what| panic!("FSSCAN_SEED={seed}: {what}"));
        mutations += report.mutations;
    }
    assert!(mutations > 300 * trees, "only {mutations}");
    println!("{trees} trees, {mutations} mutations, seed {seed}: every change told exactly");
}
