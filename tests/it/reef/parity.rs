//! The same verdicts as clamdscan's, on the files that ClamAV is tested with.
use super::rig::{Rig, detections, files};
use std::{collections::BTreeSet, fs, path::Path};
use testkit::{Program, eicar};

const SAMPLES: &str = "/usr/share/clamav-testfiles";

/// The program inside each sample is infected, in whatever it is packed.
fn sign(rig: &Rig) -> bool {
    let program = Path::new(SAMPLES).join("clam.exe");
    let Ok(content) = fs::read(&program) else {
        eprintln!("skipped: `{SAMPLES}` is not there (package clamav-testfiles)");
        return false;
    };
    let sum = Program::at("sha256sum").arg(&program).run().unwrap().success().unwrap();
    let sum = sum.stdout().split(' ').next().unwrap().to_owned();
    let signature = format!("{sum}:{}:Test.Sample\n", content.len());
    fs::write(rig.clamd.database().join("samples.hsb"), signature).unwrap();
    rig.clamd
        .reload_with("Test.Other", b"something that no sample holds")
        .unwrap();
    true
}

#[test]
fn verdicts_are_those_of_clamdscan() {
    let rig = Rig::new();
    if !sign(&rig) {
        return;
    }
    let samples = fs::read_dir(SAMPLES).unwrap().map(|entry| entry.unwrap().path());
    for sample in samples {
        rig.write(sample.file_name().unwrap(), &fs::read(&sample).unwrap());
    }
    rig.write("eicar", &eicar());
    rig.fill(20);
    let peer = Program::at("clamdscan").args(["--fdpass", "--no-summary", "--infected"]);
    let config = format!("--config-file={}", rig.clamd.configuration().display());
    let Ok(theirs) = peer.arg(config).arg(rig.tree()).run() else {
        eprintln!("skipped: clamdscan is not there (package clamdscan)");
        return;
    };
    let theirs: BTreeSet<(Vec<u8>, String)> = theirs
        .stdout()
        .lines()
        .filter_map(|line| line.strip_suffix(" FOUND")?.rsplit_once(": "))
        .map(|(path, signature)| (path.as_bytes().to_vec(), signature.to_owned()))
        .collect();
    let report = rig.scan(1, &["--no-memory"]);
    let ours: BTreeSet<_> = detections(&report).into_iter().collect();
    assert_eq!(ours, theirs);
    assert!(
        ours.len() > 10,
        "the samples are found in what they are packed in: {ours:?}"
    );
    assert_eq!((files(&report, "failed"), &report["unaccounted"]), (0, &0.into()));
}
