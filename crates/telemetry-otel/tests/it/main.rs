//! The one step that a process can take only once, taken in processes of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};
use telemetry_otel::{FileSettings, Format, InitError, LogSettings, init};

const NAME: &str = "lines_go_to_stderr_and_to_the_file_and_never_to_stdout";
const FILE: &str = "TELEMETRY_OTEL_TEST_FILE";

#[test]
fn lines_go_to_stderr_and_to_the_file_and_never_to_stdout() {
    if let Some(path) = env::var_os(FILE) {
        return speak(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scanner.log");
    let Output { status, stdout, stderr } = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(FILE, &path)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{stdout}{stderr}");
    assert!(!stdout.contains("hello"), "{stdout}");
    assert!(!stderr.contains('\u{1b}'), "a pipe is not coloured: {stderr}");
    let in_file = fs::read_to_string(&path).unwrap();
    for lines in [&stderr, &in_file] {
        let told: Vec<_> = lines.lines().filter(|line| line.contains("INFO")).collect();
        assert_eq!(told.len(), 2, "{lines}");
        assert!(told[0].ends_with("INFO  it: hello n=1"), "{lines}");
        assert!(told[1].ends_with("INFO  old-crate: hello from log"), "{lines}");
    }
}

/// What the process that the test starts does.
fn speak(path: &Path) {
    let settings = LogSettings {
        file: Some(FileSettings::new(path)),
        format: Format::Text,
        ..LogSettings::new("scanner")
    };
    let _telemetry = init(settings.clone()).unwrap();
    tracing::info!(n = 1, "hello");
    log::info!(target: "old_crate::part", "hello from log");
    let again = LogSettings { file: None, ..settings };
    assert!(matches!(init(again), Err(InitError::Already)));
}
