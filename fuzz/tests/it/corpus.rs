//! Every target over its corpus and over mutations of it.
//!
//! `FUZZ_COUNT` says how many mutations of each, `FUZZ_SEED` where the randomness begins, and `FUZZ_TARGET` names the
//! only one to run: `cargo xtask soak fuzz` sets them.
use crate::mutate::mutated;
use fuzz::{TARGETS, Target};
use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use testkit::Random;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(name).collect()
}

/// The inputs of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder("corpus").join(target);
    let read = |name: String| {
        let input = fs::read(folder.join(&name)).unwrap();
        (name, input)
    };
    names(&folder).into_iter().map(read).collect()
}

/// Runs a target; an input at which it fails is kept where cargo-fuzz keeps its own.
#[track_caller]
fn run(name: &str, target: Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let kept = folder("artifacts").join(name);
        fs::create_dir_all(&kept).unwrap();
        let kept = kept.join("failing-input");
        fs::write(&kept, input).unwrap();
        panic!(
            "{name} fails at {what}, kept as {}: {}",
            kept.display(),
            input.escape_ascii()
        );
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name is there twice");
    assert_eq!(names(&folder("corpus")), targets);
    let programs: BTreeSet<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&folder("fuzz_targets")), programs);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in &targets {
        let program = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(
            program.contains(&format!("fuzz::{name}(data)")),
            "{name}.rs calls another"
        );
        let entry =
            format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\nrequired-features = [\"libfuzzer\"]");
        assert!(manifest.contains(&entry), "Cargo.toml has no program {name}");
        assert!(corpus(name).len() >= 5, "{name} has hardly a corpus");
    }
}

#[test]
fn no_input_of_a_corpus_and_no_mutation_of_one_breaks_a_parser() {
    let (count, seed) = (number("FUZZ_COUNT", 1000), number("FUZZ_SEED", 1));
    let only = env::var("FUZZ_TARGET").ok();
    let mut ran = 0;
    for (name, target) in TARGETS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let corpus = corpus(name);
        for (file, input) in &corpus {
            run(name, *target, input, file);
        }
        let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
        let mut random = Random::new(seed);
        for nth in 0..count {
            let input = mutated(&inputs, &mut random);
            run(name, *target, &input, &format!("mutation {nth} of seed {seed}"));
        }
        eprintln!("{name}: {} inputs and {count} mutations", inputs.len());
        ran += 1;
    }
    assert!(ran > 0, "there is no target {only:?}");
}

#[test]
fn a_seed_gives_its_mutations_again_and_they_differ() {
    let inputs = [b"{\"a\": 1}".to_vec(), b"[1, 2]".to_vec()];
    let take = |seed| {
        let mut random = Random::new(seed);
        (0..200).map(|_| mutated(&inputs, &mut random)).collect::<Vec<_>>()
    };
    assert_eq!(take(5), take(5));
    let distinct: BTreeSet<_> = take(5).into_iter().collect();
    assert!(distinct.len() > 150, "{} of 200", distinct.len());
}
