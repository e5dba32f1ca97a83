//! Support bundles: secrets planted wherever a bundle looks, and not one in it.
use core_model::Secret;
use daemon_kit::{
    ConfigFinder, ConfigSpec, LoggingSettings, Redactor, ServerSettings, Surroundings,
    bundle::{self, BundleError, Entry},
    doctor::{self, Report},
    load,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io::Read, path::Path};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    server: ServerSettings,
    logging: LoggingSettings,
    token: Secret,
}

impl conf::Settings for Settings {}

const SPEC: ConfigSpec = ConfigSpec {
    finder: ConfigFinder {
        product: "shoal-test",
        prefix: "SHOAL_TEST",
    },
    short_variables: &[("SHOAL_TEST_API_KEY", "server.api_key")],
    other_variables: &[],
    meaningless: &[],
    never_literal: &["server.api_key"],
};

/// The files of a bundle by name, with the mode of each in the archive.
fn unpacked(path: &Path) -> BTreeMap<String, (u32, String)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, (entry.header().mode().unwrap(), text));
    }
    files
}

#[test]
fn a_bundle_holds_what_helps_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (config, log) = (dir.path().join("c.yaml"), dir.path().join("agent.log"));
    let written = format!(
        "server:\n  base_url: https://fleet.example.com\n  api_key: ${{SHOAL_TEST_API_KEY}}\n  proxy: \
         http://me:planted-proxy@proxy:3128\ntoken: planted-literal\nlogging: {{file: '{}'}}\n",
        log.display()
    );
    fs::write(&config, written).unwrap();
    fs::write(
        &log,
        "key planted-key; proxy me:planted-proxy@proxy\n\
         {\"message\":\"x\",\"headers\":{\"X-API-KEY\":\"planted-unknown-1\"}}\n\
         Authorization: Bearer planted-unknown-2\n\
         joined with SHOAL_TEST_JOIN_TOKEN=planted-unknown-3 and planted-environment and planted-enrolled\n\
         through https://user:planted-unknown-4@other/\n\
         files: 12345\n",
    )
    .unwrap();
    let mut around = Surroundings::default();
    for (name, value) in [
        ("SHOAL_TEST_API_KEY", "planted-key"),
        ("UNRELATED_PASSWORD", "planted-environment"),
    ] {
        around.variables.insert(name.to_owned(), value.to_owned());
    }
    let loaded = load::<Settings>(&SPEC, Some(&config), &[], &around).unwrap();
    let mut report = Report::default();
    report.add(doctor::configuration(Ok(&loaded)));
    report.add(doctor::outcome(
        "key",
        Err::<String, _>("planted-enrolled was refused"),
        "enrol again",
    ));
    let mut entries = bundle::entries("shoal-test 1.2.3", &report, Ok(&loaded));
    entries.extend(bundle::log_tail(&loaded.settings.value.logging));
    entries.push(Entry::new("note-planted-key.txt", "planted-literal"));
    let redactor = Redactor::of_loaded(&loaded).with(&Secret::new("planted-enrolled"));
    let path = dir.path().join("help.tar.gz");
    bundle::write(&path, &entries, &redactor).unwrap();

    let files = unpacked(&path);
    for (name, (mode, text)) in &files {
        assert!(!name.contains("planted") && !text.contains("planted"), "{name}: {text}");
        assert_eq!(*mode, 0o600, "{name}");
    }
    let text = |name: &str| files[&format!("help/{name}")].1.as_str();
    assert_eq!(text("version.txt"), "shoal-test 1.2.3\n");
    assert!(text("doctor.json").contains("enrol again"));
    assert!(text("config.txt").contains("server.base_url") && text("config.txt").contains("https://fleet.example.com"));
    assert!(text("log.txt").ends_with("files: 12345\n"), "{}", text("log.txt"));
    assert!(!text("system.txt").trim().is_empty());
    assert!(files.contains_key("help/note-***.txt"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c.yaml");
    fs::write(
        &config,
        "server: {timeout: 0, api_key: planted-one, proxy: 'http://a:planted-two@p', bogus: 1}\ntoken: [planted-three]\n",
    )
    .unwrap();
    let error = load::<Settings>(&SPEC, Some(&config), &[], &Surroundings::default()).unwrap_err();
    let mut report = Report::default();
    report.add(doctor::configuration::<Settings>(Err(&error)));
    let path = dir.path().join("help.tar.gz");
    bundle::write(
        &path,
        &bundle::entries::<Settings>("1", &report, Err(&error)),
        &Redactor::default(),
    )
    .unwrap();
    let files = unpacked(&path);
    assert!(files["help/config.txt"].1.contains("bogus"));
    for (name, (_, text)) in &files {
        assert!(!text.contains("planted"), "{name}: {text}");
    }
}

#[test]
fn a_bundle_is_its_owner_s_alone_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("help.tar.gz");
    let write = || bundle::write(&path, &[Entry::new("a.txt", "a")], &Redactor::default());
    write().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = fs::read(&path).unwrap();
    assert!(matches!(write(), Err(BundleError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
    let nowhere = dir.path().join("no/help.tar.gz");
    let error = bundle::write(&nowhere, &[], &Redactor::default()).unwrap_err();
    assert!(matches!(error, BundleError::Write { .. }), "{error}");
}

#[test]
fn a_name_that_leaves_the_archive_makes_no_bundle_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("help.tar.gz");
    let entries = [Entry::new("../../etc/passwd", "x")];
    bundle::write(&path, &entries, &Redactor::default()).unwrap_err();
    assert!(!path.exists());
}
