//! Keys and tokens: a wrong one opens nothing.
use e2e::{Fleet, Scanner};
use std::fs;

#[test]
fn a_signed_out_operator_sees_nothing() {
    let fleet = Fleet::start().unwrap();
    fleet.client(&["agents"]).unwrap().success().unwrap();
    let token = fleet.home().join(".local/state/fleet-controller/login.json");
    let kept = fs::read(&token).unwrap();
    fleet.client(&["logout"]).unwrap().success().unwrap();
    let out = fleet.client(&["agents"]).unwrap().assert_code(4);
    assert!(out.stderr().contains("not signed in"), "{}", out.stderr());
    fs::write(&token, kept).unwrap();
    let revoked = fleet.client(&["agents"]).unwrap().assert_code(4);
    assert!(
        revoked.stderr().contains("fleet-controller login"),
        "{}",
        revoked.stderr()
    );
}

#[test]
fn a_wrong_password_and_an_unknown_user_read_the_same() {
    let fleet = Fleet::start().unwrap();
    fs::write(fleet.home().join("wrong"), "not the password").unwrap();
    let mut seen = Vec::new();
    for user in ["admin", "nobody"] {
        let args = [
            "login",
            "--server",
            &fleet.url,
            "--username",
            user,
            "--password-file",
            "wrong",
        ];
        let output = fleet.client(&args).unwrap().assert_code(4);
        seen.push(output.stderr().into_owned());
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].contains("user name or the password is wrong"), "{}", seen[0]);
}

#[test]
fn an_agent_with_a_foreign_key_is_told_so_and_keeps_its_records() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "wrong-key", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    let program = scanner
        .program(&["run", "--once"])
        .unwrap()
        .env("SCANNER_API_KEY", "sk_of_somebody_else");
    let output = program.run().unwrap().assert_code(5);
    assert!(
        output.stderr().contains("does not take this agent's key"),
        "{}",
        output.stderr()
    );
    assert!(!output.stderr().contains("sk_of_somebody_else"), "{}", output.stderr());
    let status = scanner
        .command(&["status", "--output", "json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(status["outbox"]["records"], 3, "the file, framed as a first scan is");
}

#[test]
fn a_used_up_or_revoked_join_token_enrols_nobody() {
    let fleet = Fleet::start().unwrap();
    let created = fleet.json(&["join-tokens", "create", "--name", "short"]).unwrap();
    fleet
        .client(&["join-tokens", "revoke", created["id"].as_str().unwrap()])
        .unwrap()
        .success()
        .unwrap();
    let listed = fleet.json(&["join-tokens", "list"]).unwrap();
    assert!(listed.to_string().contains("revoked"), "{listed}");
    let scanner = Scanner::new(&fleet, "late", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    let token = created["token"].as_str().unwrap();
    let program = scanner
        .program(&["run", "--once"])
        .unwrap()
        .env("SCANNER_JOIN_TOKEN", token);
    let output = program.run().unwrap().assert_code(4);
    assert!(output.stderr().contains("join-tokens create"), "{}", output.stderr());
    assert!(!output.stderr().contains(token), "{}", output.stderr());
    assert_eq!(fleet.json(&["agents"]).unwrap(), serde_json::json!([]));
}

#[test]
fn a_revoked_agent_is_told_so_and_loses_nothing() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "revoked", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    scanner.round(0).unwrap();
    fleet
        .client(&["agents", "revoke", "revoked"])
        .unwrap()
        .success()
        .unwrap();
    fs::write(scanner.tree().join("b"), "b").unwrap();
    let output = scanner.round(5).unwrap();
    assert!(
        output.stderr().contains("does not take this agent's key"),
        "{}",
        output.stderr()
    );
    let status = scanner
        .command(&["status", "--output", "json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(status["outbox"]["records"], 1);
}
