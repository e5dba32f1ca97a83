//! Agents that their certificates prove: no token, no claim, no key on any disk.
use e2e::{Fleet, Scanner};
use serde_json::Value;
use std::{fs, path::Path};
use testkit::{CertificateAuthority, Certified, Daemon, Validity};

/// A controller that asks its clients for certificates of `authority`, and knows agents by them if that `is_on`.
fn fleet(authority: &CertificateAuthority, is_on: bool) -> Fleet {
    let server = authority.server(&["127.0.0.1", "localhost"], Validity::Now).unwrap();
    let settings = [
        format!("tls.client_ca={}", authority.file().display()),
        "tls.client_auth=optional".to_owned(),
        format!("agents.by_certificate={is_on}"),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Fleet::start_tls_with(&server.certificate, &server.key, authority.file(), &settings).unwrap()
}

/// A scanner without a token.
fn scanner(fleet: &Fleet, name: &str) -> Scanner {
    let mut scanner = Scanner::new(fleet, name, "").unwrap();
    scanner.forget_token();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    scanner
}

/// The options by which a scanner trusts the authority and shows this certificate.
fn shown(authority: &Path, own: &Certified) -> Vec<String> {
    let settings = [
        format!("server.ca_file={}", authority.display()),
        format!("server.client_certificate={}", own.certificate.display()),
        format!("server.client_key={}", own.key.display()),
        "agent.heartbeat_interval=1s".to_owned(),
        "scanner.scan_interval=6h".to_owned(),
    ];
    settings
        .into_iter()
        .flat_map(|setting| ["--set".to_owned(), setting])
        .collect()
}

fn with<'a>(args: &[&'a str], options: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(options.iter().map(String::as_str)).collect()
}

fn start(scanner: &Scanner, options: &[String]) -> Daemon {
    let daemon = scanner.program(&with(&["run"], options)).unwrap().start().unwrap();
    daemon.wait_for_text("scanner is up").unwrap();
    daemon
}

#[test]
fn an_agent_joins_reports_and_is_commanded_by_its_certificate_alone() {
    let authority = CertificateAuthority::new().unwrap();
    let fleet = fleet(&authority, true);
    let scanner = scanner(&fleet, "web");
    let options = shown(authority.file(), &authority.client("web").unwrap());
    let once = with(&["run", "--once"], &options);
    scanner.command(&once).unwrap().assert_code(0);
    fleet.until_told("web", 1).unwrap();
    let credentials: Value =
        serde_json::from_slice(&fs::read(scanner.home().join("state/credentials.json")).unwrap()).unwrap();
    assert_eq!(credentials["name"], "web");
    assert!(credentials.get("api_key").is_none(), "there is no secret to keep");

    fs::write(scanner.tree().join("second"), "x").unwrap();
    let daemon = start(&scanner, &options);
    daemon.wait_for_text("linked with the controller").unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "web", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    fleet.until_told("web", 2).unwrap();
    assert!(daemon.stop().unwrap().success());
    let doctor = scanner.command(&with(&["doctor"], &options)).unwrap();
    assert!(doctor.stdout().contains("good until 2090"), "{doctor}");
    assert!(doctor.stdout().contains("the server takes it"), "{doctor}");

    let another = authority.client("web").unwrap();
    let mixed = [with(&["doctor"], &options), vec!["--set"]].concat();
    let key = format!("server.client_key={}", another.key.display());
    let doctor = scanner.command(&[mixed.as_slice(), &[&key]].concat()).unwrap();
    assert!(
        doctor.stdout().contains("does not belong to the certificate"),
        "{doctor}"
    );

    let other = shown(authority.file(), &authority.client("db").unwrap());
    let refused = scanner.command(&with(&["run", "--once"], &other)).unwrap();
    let refused = refused.assert_code(5);
    assert!(
        refused.stderr().contains("no agent is called `db`"),
        "{}",
        refused.stderr()
    );
    fleet.client(&["agents", "revoke", "web"]).unwrap().success().unwrap();
    let revoked = scanner.command(&once).unwrap().assert_code(5);
    assert!(
        revoked.stderr().contains("this agent was revoked"),
        "{}",
        revoked.stderr()
    );
}

#[test]
fn an_agent_with_another_s_certificate_is_told_so_and_does_not_join() {
    let authority = CertificateAuthority::new().unwrap();
    let fleet = fleet(&authority, true);
    let scanner = scanner(&fleet, "web");
    let options = shown(authority.file(), &authority.client("db").unwrap());
    let refused = scanner.command(&with(&["run", "--once"], &options)).unwrap();
    let refused = refused.assert_code(4);
    assert!(
        refused.stderr().contains("set `agent.id` to `db`"),
        "{}",
        refused.stderr()
    );
    assert_eq!(fleet.json(&["agents"]).unwrap(), serde_json::json!([]));
}

#[test]
fn where_certificates_are_not_taken_the_agent_shows_a_code() {
    let authority = CertificateAuthority::new().unwrap();
    let fleet = fleet(&authority, false);
    let scanner = scanner(&fleet, "web");
    let daemon = start(&scanner, &shown(authority.file(), &authority.client("web").unwrap()));
    let code = daemon
        .wait_for("a code", |line| {
            let (_, rest) = line.split_once("fleet-controller claim ")?;
            Some(
                rest.chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                    .collect::<String>(),
            )
        })
        .unwrap();
    fleet.client(&["claim", &code]).unwrap().success().unwrap();
    fleet.until_told("web", 1).unwrap();
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_renewed_certificate_is_taken_up_without_a_restart_of_either_side() {
    let authority = CertificateAuthority::new().unwrap();
    let fleet = fleet(&authority, true);
    let scanner = scanner(&fleet, "web");
    let (own, renewed) = (authority.client("web").unwrap(), authority.client("web").unwrap());
    let daemon = start(&scanner, &shown(authority.file(), &own));
    fleet.until_told("web", 1).unwrap();
    fs::copy(&renewed.certificate, &own.certificate).unwrap();
    fs::copy(&renewed.key, &own.key).unwrap();
    daemon.wait_for_text("certificate was renewed").unwrap();
    fs::write(scanner.tree().join("second"), "x").unwrap();
    let sent = fleet
        .client(&["commands", "send", "scan", "--to", "web", "--wait"])
        .unwrap();
    sent.success().unwrap();
    fleet.until_told("web", 2).unwrap();
    assert!(daemon.stop().unwrap().success());
}
