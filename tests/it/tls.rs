//! The controller over TLS, from certificate files.
use e2e::{Fleet, Scanner};
use std::fs;
use testkit::{CertificateAuthority, Validity};

#[test]
fn a_controller_with_a_certificate_is_reached_by_those_who_know_its_authority() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["127.0.0.1", "localhost"], Validity::Now).unwrap();
    let ca = authority.file().to_str().unwrap().to_owned();
    let fleet = Fleet::start_tls(&certified.certificate, &certified.key, authority.file()).unwrap();
    assert!(fleet.url.starts_with("https://"), "{}", fleet.url);
    let scanner = Scanner::new(&fleet, "private", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    let unknown = scanner.round(4).unwrap();
    assert!(unknown.stderr().contains("ca_file"), "{}", unknown.stderr());
    scanner
        .command(&["run", "--once", "--set", &format!("server.ca_file={ca}")])
        .unwrap()
        .assert_code(0);
    assert_eq!(fleet.paths("private").unwrap().len(), 1);
}
