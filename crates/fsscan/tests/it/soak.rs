//! Random mutations of a real tree against a slow and simple oracle.
use fsscan::testing::{Random, soak};

#[test]
fn thousands_of_mutations_are_told_exactly() {
    let seed = std::env::var("FSSCAN_SEED")
        .ok()
        .map_or(20_261_121, |seed| seed.parse().unwrap());
    let mut seeds = Random::new(seed);
    let mut mutations = 0;
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let report = soak(dir.path(), seeds.bits(), 60).unwrap_or_else(|what| panic!("FSSCAN_SEED={seed}: {what}"));
        mutations += report.mutations;
    }
    assert!(mutations > 3000, "only {mutations}");
}
