//! The same verdicts as clamdscan's: on the files that ClamAV is tested with, in archives, under hostile names, by every
//! way to clamd.
use super::{
    packed,
    rig::{Rig, detections, files},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use testkit::{ClamdOptions, MARKER, Program, eicar, hostile_names};

const SAMPLES: &str = "/usr/share/clamav-testfiles";

/// The files that ClamAV is tested with, sorted.
fn samples() -> Option<Vec<PathBuf>> {
    let Ok(samples) = fs::read_dir(SAMPLES) else {
        eprintln!("skipped: `{SAMPLES}` is not there (package clamav-testfiles)");
        return None;
    };
    let mut samples: Vec<_> = samples.map(|entry| entry.unwrap().path()).collect();
    samples.sort();
    Some(samples)
}

/// The hash of a whole file, as a database has it: by MD5 where `is_short`, else by SHA-256.
fn hash(file: &Path, name: &str, is_short: bool) -> String {
    let program = if is_short { "md5sum" } else { "sha256sum" };
    let sum = Program::at(program).arg(file).run().unwrap().success().unwrap();
    let length = fs::metadata(file).unwrap().len();
    format!("{}:{length}:{name}\n", sum.stdout().split(' ').next().unwrap())
}

/// Gives clamd these signatures of whole files, and one more of this name, by which it is seen that it has them.
fn sign(rig: &Rig, name: &str, files: &[(&str, String)]) {
    for (ending, signatures) in files {
        fs::write(rig.clamd.database().join(format!("samples.{ending}")), signatures).unwrap();
    }
    let body = format!("something that no sample holds: {name}");
    rig.clamd.reload_with(name, body.as_bytes()).unwrap();
}

/// What clamdscan says of malware in the tree, as sorted lines; `None` where it is not installed.
fn theirs(rig: &Rig) -> Option<Vec<Vec<u8>>> {
    let peer = Program::at("clamdscan").args(["--fdpass", "--no-summary", "--infected"]);
    let config = format!("--config-file={}", rig.clamd.configuration().display());
    let Ok(said) = peer.arg(config).arg(rig.tree()).run() else {
        eprintln!("skipped: clamdscan is not there (package clamdscan)");
        return None;
    };
    Some(lines(said.stdout_bytes()))
}

/// The same of a report. A name with a newline is two lines of both.
fn ours(report: &Value) -> Vec<Vec<u8>> {
    let said = detections(report).into_iter().flat_map(|(path, signature)| {
        let end = format!(": {signature} FOUND\n");
        [path, end.into_bytes()].concat()
    });
    lines(&said.collect::<Vec<u8>>())
}

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

/// Descriptors by the Unix socket, and streams by TCP: both as clamdscan. Gives how many were found, `None` where there is
/// nothing to compare with.
fn agree(rig: &Rig) -> Option<u64> {
    let theirs = theirs(rig)?;
    let stream = format!("clamd.endpoint=tcp:{}", rig.clamd.tcp());
    let mut found = 0;
    for way in [&["--no-memory"][..], &["--no-memory", "--set", &stream]] {
        let report = rig.scan(1, way);
        assert_eq!(shown(&ours(&report)), shown(&theirs), "{way:?}");
        assert_eq!((files(&report, "failed"), &report["unaccounted"]), (0, &0.into()));
        found = files(&report, "infected");
    }
    Some(found)
}

fn shown(lines: &[Vec<u8>]) -> Vec<String> {
    lines.iter().map(|line| line.escape_ascii().to_string()).collect()
}

#[test]
fn verdicts_are_those_of_clamdscan() {
    let rig = Rig::new();
    let Some(samples) = samples() else { return };
    for sample in &samples {
        rig.write(sample.file_name().unwrap(), &fs::read(sample).unwrap());
    }
    rig.infect("eicar");
    rig.fill(20);
    // The program inside each sample is infected, in whatever it is packed.
    let inner = hash(&Path::new(SAMPLES).join("clam.exe"), "Test.Sample", false);
    sign(&rig, "Test.First", &[("hsb", inner)]);
    let Some(found) = agree(&rig) else { return };
    assert!(
        found > 10,
        "the samples are found in what they are packed in, not {found}"
    );
    // Each by a hash of its own: no kind of file is passed over.
    let hashes = |is_short: bool| {
        let each = samples.iter().enumerate();
        let such = each.filter(|(nth, _)| nth.is_multiple_of(2) == is_short);
        such.map(|(nth, sample)| hash(sample, &format!("Test.Sample{nth}"), is_short))
            .collect::<String>()
    };
    sign(&rig, "Test.Second", &[("hdb", hashes(true)), ("hsb", hashes(false))]);
    assert_eq!(agree(&rig), Some(samples.len() as u64 + 1), "each sample, and EICAR");
}

#[test]
fn what_is_packed_is_found_as_clamdscan_finds_it() {
    let rig = Rig::with(ClamdOptions {
        extra: vec!["AlertEncryptedArchive yes".to_owned()],
        ..ClamdOptions::default()
    });
    for (name, content) in [
        ("infected", eicar()),
        ("marked", MARKER.to_vec()),
        ("clean", b"harmless".to_vec()),
    ] {
        for (kind, packed) in packed::kinds(&content) {
            rig.write(format!("{name}/{kind}"), &packed);
        }
    }
    rig.write("encrypted.zip", &packed::encrypted_zip("inner.txt", b"whatever it is"));
    let Some(found) = agree(&rig) else { return };
    let kinds = packed::kinds(b"").len() as u64;
    assert_eq!(found, 2 * kinds + 1, "each kind, and the one that nobody can look into");
}

#[test]
fn a_thousand_hostile_names_get_the_verdicts_of_clamdscan() {
    let rig = Rig::new();
    for (nth, name) in hostile_names(1000, 7).iter().enumerate() {
        if nth.is_multiple_of(3) {
            rig.infect(name);
        } else {
            rig.write(name, format!("harmless {nth}").as_bytes());
        }
    }
    let Some(found) = agree(&rig) else { return };
    assert_eq!(found, 334);
}
