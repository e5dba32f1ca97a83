//! The doctor's checks on real files, limits and locks.
use core_model::ByteSize;
use daemon_kit::{
    ConfigFinder, ConfigSpec, ServerSettings, Surroundings,
    doctor::{self, Finding, Verdict},
    load,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    server: ServerSettings,
}

impl conf::Settings for Settings {
    fn check(&self, check: &mut conf::Check<'_>) {
        self.server.check("server", check);
    }
}

const SPEC: ConfigSpec = ConfigSpec {
    finder: ConfigFinder {
        product: "shoal-test",
        prefix: "SHOAL_TEST",
    },
    short_variables: &[("SHOAL_TEST_API_KEY", "server.api_key")],
    other_variables: &[],
    meaningless: &[("old", "nobody needs it")],
    never_literal: &["server.api_key"],
};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn assert_finding(finding: &Finding, verdict: Verdict, found: &str, remedy: Option<&str>) {
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.found.contains(found), "`{found}`: {finding:?}");
    match (remedy, &finding.remedy) {
        (Some(expected), Some(remedy)) => assert!(remedy.contains(expected), "`{expected}`: {finding:?}"),
        (None, None) => {}
        _ => panic!("{finding:?}"),
    }
}

#[test]
fn a_configuration_is_judged_with_all_its_problems_in_one_finding() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.yaml");
    let judged = |text: &str| {
        fs::write(&path, text).unwrap();
        let loaded = load::<Settings>(&SPEC, Some(&path), &[], &Surroundings::default());
        doctor::configuration(loaded.as_ref())
    };
    let file = path.display().to_string();
    assert_finding(
        &judged("server: {}"),
        Verdict::Ok,
        &format!("{file} is valid (named by --config)"),
        None,
    );
    assert_finding(
        &judged("old: 1"),
        Verdict::Warning,
        "nobody needs it",
        Some("no effect"),
    );
    let wrong = judged("server: {timeout: 0s,\n  base_url: fleet, api_key: hunter2}");
    assert_finding(
        &wrong,
        Verdict::Failure,
        "must be longer than nothing",
        Some("config check"),
    );
    assert!(
        wrong.found.contains(":1:") && wrong.found.contains(":2:"),
        "{}",
        wrong.found
    );
    assert!(
        wrong.found.contains("`server.api_key` is written out"),
        "{}",
        wrong.found
    );
    let missing = load::<Settings>(&SPEC, Some(&dir.path().join("no.yaml")), &[], &Surroundings::default());
    assert_finding(
        &doctor::configuration(missing.as_ref()),
        Verdict::Failure,
        "does not exist",
        Some("--config"),
    );
}

#[test]
fn a_file_that_others_may_change_or_that_shows_them_a_secret_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.yaml");
    let judged = |text: &str, mode| {
        fs::write(&path, text).unwrap();
        set_mode(&path, mode);
        let mut around = Surroundings::default();
        around
            .variables
            .insert("PROXY".to_owned(), "http://a:b@proxy:1".to_owned());
        doctor::config_permissions(&load::<Settings>(&SPEC, Some(&path), &[], &around).unwrap())
    };
    let literal = "server: {base_url: 'https://a', proxy: 'http://me:hunter2@proxy:3128'}";
    let variable = "server: {base_url: 'https://a', proxy: '${PROXY}'}";
    assert_finding(&judged(literal, 0o600), Verdict::Ok, "0600", None);
    assert_finding(&judged(variable, 0o644), Verdict::Ok, "0644", None);
    let shown = judged(literal, 0o644);
    assert_finding(&shown, Verdict::Warning, "`server.proxy`", Some("chmod go-r"));
    assert!(!format!("{shown:?}").contains("hunter2"));
    assert_finding(
        &judged(variable, 0o666),
        Verdict::Warning,
        "may change",
        Some("chmod go-w"),
    );
    let none = load::<Settings>(&SPEC, None, &[], &Surroundings::default()).unwrap();
    assert_eq!(doctor::config_permissions(&none).verdict, Verdict::Skipped);
}

#[test]
fn a_data_directory_is_written_in_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o700);
    assert_finding(&doctor::data_dir(dir.path()), Verdict::Ok, "can be written in", None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    let absent = dir.path().join("a/b");
    assert_finding(&doctor::data_dir(&absent), Verdict::Ok, "can be made", None);
    assert!(!dir.path().join("a").exists(), "looking makes nothing");
    set_mode(dir.path(), 0o755);
    assert_finding(
        &doctor::data_dir(dir.path()),
        Verdict::Warning,
        "mode 0755",
        Some("chmod 0700"),
    );
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_finding(
        &doctor::data_dir(&file),
        Verdict::Failure,
        "no directory",
        Some("--data-dir"),
    );
    assert_finding(
        &doctor::data_dir(&file.join("x")),
        Verdict::Failure,
        "cannot be looked at",
        Some("every directory"),
    );
}

/// Not even root makes files in `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn a_data_directory_that_cannot_be_written_in_is_a_failure() {
    assert_finding(
        &doctor::data_dir(Path::new("/proc")),
        Verdict::Failure,
        "cannot be written in",
        Some("chown"),
    );
    assert_finding(
        &doctor::data_dir(Path::new("/proc/shoal")),
        Verdict::Failure,
        "cannot be made",
        Some("install -d"),
    );
}

#[test]
fn room_is_judged_by_bytes_and_by_files() {
    let dir = tempfile::tempdir().unwrap();
    let judged = |bytes, files| doctor::disk("state disk", &dir.path().join("not/yet"), ByteSize::new(bytes), files);
    assert_finding(
        &judged(1, 0),
        Verdict::Ok,
        &format!("free at {}", dir.path().display()),
        None,
    );
    assert_finding(&judged(u64::MAX, 0), Verdict::Warning, "are wanted", Some("df -h"));
    #[cfg(target_os = "linux")]
    assert_finding(
        &doctor::disk("d", Path::new("/proc"), ByteSize::new(0), 0),
        Verdict::Failure,
        "free at /proc",
        Some("df"),
    );
}

#[test]
fn credentials_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials.json");
    let absent = "not enrolled yet: `run` enrols with a join token";
    assert_finding(&doctor::credentials(&path, absent), Verdict::Skipped, absent, None);
    fs::write(&path, "{}").unwrap();
    for (mode, verdict, remedy) in [
        (0o600, Verdict::Ok, None),
        (0o400, Verdict::Ok, None),
        (0o640, Verdict::Failure, Some("chmod 0600")),
        (0o604, Verdict::Failure, Some("enrol again")),
    ] {
        set_mode(&path, mode);
        assert_finding(&doctor::credentials(&path, absent), verdict, "credentials.json", remedy);
    }
}

#[test]
fn who_holds_the_lock_is_named_and_the_lock_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db.lock");
    assert_finding(&doctor::other_process(&path), Verdict::Ok, "none has run", None);
    fs::write(&path, "4711 2026-01-01T00:00:00Z\n").unwrap();
    assert_finding(&doctor::other_process(&path), Verdict::Ok, "none is running", None);
    let held = fs::File::open(&path).unwrap();
    held.try_lock().unwrap();
    assert_finding(
        &doctor::other_process(&path),
        Verdict::Ok,
        "process 4711 is running",
        None,
    );
}

#[test]
fn the_limit_of_open_files_is_this_process_s_own() {
    assert_finding(&doctor::file_descriptors(1), Verdict::Ok, "at once", None);
    let judged = doctor::file_descriptors(u64::MAX);
    // Without a limit nothing is too little.
    if judged.verdict != Verdict::Ok {
        assert_finding(&judged, Verdict::Warning, "only", Some("LimitNOFILE="));
    }
}
