//! `scanner doctor` on set-ups that are broken, each in its own way: what is wrong is found, and the remedy named.
use e2e::{Fleet, Scanner};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};
use testkit::{CertificateAuthority, FaultyProxy, Validity};

/// Runs the doctor; gives its findings and the exit code.
fn findings(scanner: &Scanner) -> (Vec<Value>, i32) {
    let output = scanner.command(&["doctor", "--output", "jsonl"]).unwrap();
    (output.json_lines().unwrap(), output.code().unwrap())
}

/// The one failure of `check`, whose finding and remedy hold these words.
#[track_caller]
fn fails(scanner: &Scanner, check: &str, found: &str, remedy: &str) {
    let (findings, code) = findings(scanner);
    let of_check = |finding: &&Value| finding["check"] == check && finding["verdict"] == "failure";
    let failure = findings.iter().find(of_check);
    let failure = failure.unwrap_or_else(|| panic!("no failure of `{check}` in {findings:#?}"));
    let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
    assert!(text("found").contains(found), "`{found}` is not in {failure:#}");
    assert!(text("remedy").contains(remedy), "`{remedy}` is not in {failure:#}");
    assert_eq!(code, 4);
}

fn healthy(fleet: &Fleet, name: &str) -> Scanner {
    let scanner = Scanner::new(fleet, name, "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    scanner.round(0).unwrap();
    scanner
}

#[test]
fn a_set_up_that_is_well_is_said_to_be() {
    let fleet = Fleet::start().unwrap();
    let scanner = healthy(&fleet, "well");
    let (findings, code) = findings(&scanner);
    let wrong: Vec<_> = findings
        .iter()
        .filter(|finding| finding["verdict"] == "failure")
        .collect();
    assert_eq!((wrong, code), (vec![], 0));
    let checked = |check: &str| findings.iter().any(|finding| finding["check"] == check);
    for check in [
        "configuration",
        "data directory",
        "scan path",
        "state",
        "outbox",
        "key",
        "clock",
    ] {
        assert!(checked(check), "`{check}` is not in {findings:#?}");
    }
}

#[test]
fn what_is_wrong_with_the_configuration_is_named_with_its_remedy() {
    let fleet = Fleet::start().unwrap();
    let scanner = healthy(&fleet, "configured");
    scanner.configure(&fleet.url, "  scan_paths: [unclosed\n").unwrap();
    fails(&scanner, "configuration", "scanner.yaml", "config check");
    scanner.configure(&fleet.url, "  batch_sise: 100\n").unwrap();
    fails(&scanner, "configuration", "did you mean `batch_size`", "config check");
    scanner.configure("http://fleet.example.com", "").unwrap();
    fails(&scanner, "configuration", "allow_http", "config check");
}

#[test]
fn what_is_wrong_on_this_machine_is_named_with_its_remedy() {
    let fleet = Fleet::start().unwrap();
    let scanner = healthy(&fleet, "machine");
    let away = scanner.home().join("away");
    fs::rename(scanner.tree(), &away).unwrap();
    fails(&scanner, "scan path", "not there", "scanner.scan_paths");
    fs::write(scanner.tree(), "a file").unwrap();
    fails(&scanner, "scan path", "no directory", "scanner.scan_paths");
    fs::remove_file(scanner.tree()).unwrap();
    fs::rename(&away, scanner.tree()).unwrap();

    let state = scanner.home().join("state");
    let credentials = state.join("credentials.json");
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o644)).unwrap();
    fails(&scanner, "credentials", "644", "chmod");
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();

    fs::write(
        state.join("state.db"),
        "this is no state of anything, and not a little one",
    )
    .unwrap();
    fails(&scanner, "state", "no state file", "scanner run");

    fs::rename(&state, scanner.home().join("moved")).unwrap();
    fs::write(&state, "a file").unwrap();
    fails(&scanner, "data directory", "no directory", "--data-dir");
}

#[test]
fn what_is_wrong_with_the_server_is_named_with_its_remedy() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = healthy(&fleet, "remote");
    fleet
        .client(&["agents", "revoke", "remote"])
        .unwrap()
        .success()
        .unwrap();
    fails(&scanner, "key", "does not take this agent's key", "enrol again");

    let fresh = Scanner::new(&fleet, "fresh", "").unwrap();
    fails(&fresh, "key", "none yet", "join-tokens create");

    let authority = CertificateAuthority::new().unwrap();
    let address = fleet.url.trim_start_matches("http://").parse().unwrap();
    let certified = authority.server(&["127.0.0.1"], Validity::Now).unwrap();
    let proxy = FaultyProxy::start_tls(Some(address), certified).unwrap();
    fresh.configure(&proxy.url(), "").unwrap();
    fails(&fresh, "server certificate", "", "ca_file");

    fleet.stop().unwrap();
    fresh.configure(&fleet.url, "").unwrap();
    fails(&fresh, "server connection", "", "base_url");
}
