//! Handshakes with servers, good and bad.
mod failures;
mod starttls;

use crate::serve::{BOTH, beside, drain, handshakes, listen, mutual_tls, says, tls};
use netcheck::{
    FailureKind,
    tls::{ClientIdentity, FindingKind, Roots, SessionOptions, StartTls, TlsOptions, TlsReport, TlsVersion, check},
};
use proptest::prelude::*;
use rustls::{ServerConfig, version::TLS12};
use std::{fs, path::Path, sync::Arc, time::Duration};
use testkit::{CertificateAuthority, Certified, Validity, self_signed};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

const NAMES: &[&str] = &["a.example", "127.0.0.1"];

/// The system's issuers are left out: what this machine trusts is no matter of a test.
fn trusting(pem: Option<&Path>) -> TlsOptions {
    TlsOptions {
        session: SessionOptions {
            system_roots: false,
            extra_roots: pem.map(|pem| Roots::from_pem(&fs::read(pem).unwrap()).unwrap()),
            server_name: Some("a.example".into()),
            ..SessionOptions::default()
        },
        ..TlsOptions::default()
    }
}

async fn checked(config: ServerConfig, options: &TlsOptions) -> TlsReport {
    let (listener, address) = listen().await;
    beside(handshakes(listener, config), check(&address.to_string(), options)).await
}

async fn of(certified: &Certified, options: &TlsOptions) -> TlsReport {
    checked(tls(certified, BOTH, &[]), options).await
}

fn findings(report: &TlsReport) -> Vec<FindingKind> {
    let session = report.tls.as_ref().expect("a session");
    assert!(
        !session.chain.is_empty(),
        "the chain is told whatever is wrong with it: {report:?}"
    );
    session.findings.iter().map(|finding| finding.kind).collect()
}

fn detail(report: &TlsReport) -> &str {
    &report.failure.as_ref().expect("a failure").detail
}

fn kind(report: &TlsReport) -> Option<FailureKind> {
    report.failure.as_ref().map(|failure| failure.kind)
}

#[tokio::test]
async fn a_good_certificate_is_told_with_all_that_it_says_and_each_step_has_its_time() {
    let authority = CertificateAuthority::new().unwrap();
    let report = of(
        &authority.server(NAMES, Validity::Now).unwrap(),
        &trusting(Some(authority.file())),
    )
    .await;
    assert_eq!(report.failure, None, "{report:?}");
    let session = report.tls.as_ref().unwrap();
    assert_eq!(
        (session.version, session.is_trusted, session.has_name),
        (Some("TLS 1.3"), Some(true), Some(true))
    );
    assert!(
        session.cipher_suite.as_ref().unwrap().starts_with("TLS_"),
        "{session:?}"
    );
    assert!(session.key_exchange.is_some() && !session.client_certificate_asked);
    let leaf = &session.chain[0];
    assert!(leaf.names == NAMES && !leaf.is_authority, "{leaf:?}");
    assert!(
        leaf.subject.contains("Server of a test") && leaf.issuer.contains("Authority of a test"),
        "{leaf:?}"
    );
    assert_eq!(
        (session.days_left, session.chain_days_left),
        (Some(leaf.days_left), Some(leaf.days_left))
    );
    assert_eq!(report.dns, None);
    assert!(report.connect.unwrap() + report.handshake.unwrap() <= report.total);
}

#[tokio::test]
async fn a_certificate_that_ended_and_one_that_is_not_valid_yet_are_named_with_their_dates_and_are_still_trusted() {
    let authority = CertificateAuthority::new().unwrap();
    for (validity, expected, date) in [
        (Validity::Ended, FindingKind::Expired, "ended on 2002-01-01"),
        (
            Validity::NotYet,
            FindingKind::NotYetValid,
            "does not hold before 2090-01-01",
        ),
    ] {
        let report = of(
            &authority.server(NAMES, validity).unwrap(),
            &trusting(Some(authority.file())),
        )
        .await;
        assert_eq!(
            (kind(&report), findings(&report)),
            (Some(FailureKind::Certificate), vec![expected])
        );
        assert!(detail(&report).contains(date), "{report:?}");
        let session = report.tls.unwrap();
        assert_eq!((session.is_trusted, session.has_name), (Some(true), Some(true)));
        assert_eq!(session.version, Some("TLS 1.3"));
    }
}

#[tokio::test]
async fn nobody_trusted_is_told_from_itself() {
    let authority = CertificateAuthority::new().unwrap();
    let other = CertificateAuthority::new().unwrap();
    let unknown = of(&authority.server(NAMES, Validity::Now).unwrap(), &trusting(None)).await;
    assert_eq!(findings(&unknown), [FindingKind::UnknownIssuer]);
    assert!(detail(&unknown).contains("CN=Authority of a test"), "{unknown:?}");
    let another = of(
        &authority.server(NAMES, Validity::Now).unwrap(),
        &trusting(Some(other.file())),
    )
    .await;
    assert_eq!(another.tls.as_ref().unwrap().is_trusted, Some(false));
    assert_eq!(kind(&another), Some(FailureKind::Certificate));
    let itself = self_signed(NAMES).unwrap();
    let report = of(&itself, &trusting(Some(authority.file()))).await;
    assert_eq!(findings(&report), [FindingKind::SelfSigned]);
    assert!(
        detail(&report).contains("Server of a test is signed by itself"),
        "{report:?}"
    );
    let given = of(&itself, &trusting(Some(&itself.certificate))).await;
    assert_eq!(given.failure, None, "it was given as one to be trusted");
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_told_with_those_that_are() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["b.example", "192.0.2.7"], Validity::Now).unwrap();
    let report = of(&certified, &trusting(Some(authority.file()))).await;
    assert_eq!(findings(&report), [FindingKind::WrongName]);
    assert_eq!(
        detail(&report),
        "the certificate holds for b.example, 192.0.2.7, not for a.example"
    );
    assert_eq!(report.tls.unwrap().is_trusted, Some(true));
}

#[tokio::test]
async fn an_address_is_checked_as_one() {
    let authority = CertificateAuthority::new().unwrap();
    let mut options = trusting(Some(authority.file()));
    options.session.server_name = None;
    let report = of(&authority.server(NAMES, Validity::Now).unwrap(), &options).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(report.tls.unwrap().server_name, "127.0.0.1");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let authority = CertificateAuthority::new().unwrap();
    let report = of(
        &authority.server(&["b.example"], Validity::Ended).unwrap(),
        &trusting(None),
    )
    .await;
    let expected = [FindingKind::Expired, FindingKind::UnknownIssuer, FindingKind::WrongName];
    assert_eq!(findings(&report), expected);
    assert_eq!(detail(&report).matches("; ").count(), 2, "{report:?}");
}

#[tokio::test]
async fn a_certificate_that_ends_sooner_than_it_should_is_a_failure() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let mut options = trusting(Some(authority.file()));
    let days = of(&certified, &options).await.tls.unwrap().days_left.unwrap();
    let day = Duration::from_secs(86_400);
    options.expires_within = day * u32::try_from(days - 1).unwrap();
    assert_eq!(of(&certified, &options).await.failure, None);
    options.expires_within = day * u32::try_from(days + 2).unwrap();
    let report = of(&certified, &options).await;
    assert_eq!(
        (kind(&report), findings(&report)),
        (Some(FailureKind::Certificate), vec![FindingKind::ExpiresSoon])
    );
    assert!(detail(&report).contains(" days (2090-01-01)"), "{report:?}");
    options.expires_within = Duration::MAX;
    assert_eq!(findings(&of(&certified, &options).await), [FindingKind::ExpiresSoon]);
}

#[tokio::test]
async fn the_version_is_told_and_the_least_one_is_kept() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let mut options = trusting(Some(authority.file()));
    let old = checked(tls(&certified, &[&TLS12], &[]), &options).await;
    assert_eq!(
        (old.failure.as_ref(), old.tls.as_ref().unwrap().version),
        (None, Some("TLS 1.2"))
    );
    options.session.min_version = TlsVersion::V1_3;
    let refused = checked(tls(&certified, &[&TLS12], &[]), &options).await;
    assert_eq!(kind(&refused), Some(FailureKind::Tls));
    assert!(detail(&refused).contains("protocol_version"), "{refused:?}");
}

#[tokio::test]
async fn a_protocol_is_agreed_on_or_the_refusal_is_named() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let mut options = trusting(Some(authority.file()));
    options.alpn = vec!["h2".into(), "http/1.1".into()];
    let agreed = checked(tls(&certified, BOTH, &["http/1.1"]), &options).await;
    assert_eq!(agreed.tls.unwrap().alpn.as_deref(), Some("http/1.1"));
    options.alpn = vec!["imap".into()];
    let refused = checked(tls(&certified, BOTH, &["h2"]), &options).await;
    assert_eq!(kind(&refused), Some(FailureKind::Tls));
    assert!(detail(&refused).contains("no_application_protocol"), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_wants_to_know_who_asks_is_told_and_known() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let config = |is_tls12: bool| {
        let versions: &[_] = if is_tls12 { &[&TLS12] } else { BOTH };
        mutual_tls(&authority, &certified, versions)
    };
    let mut options = trusting(Some(authority.file()));
    let nobody = checked(config(false), &options).await;
    assert_eq!(
        kind(&nobody),
        Some(FailureKind::Tls),
        "TLS 1.3 refuses after the handshake: {nobody:?}"
    );
    assert!(
        detail(&nobody).contains("certificate_required: it wants a certificate of the client"),
        "{nobody:?}"
    );
    let nobody = checked(config(true), &options).await;
    assert_eq!(kind(&nobody), Some(FailureKind::Tls), "{nobody:?}");
    assert!(nobody.tls.as_ref().unwrap().client_certificate_asked);
    assert_eq!(findings(&nobody), [], "the server's certificate is told, and good");
    let client = authority.client("a client").unwrap();
    let identity = ClientIdentity::from_pem(&fs::read(client.certificate).unwrap(), &fs::read(client.key).unwrap());
    options.session.identity = Some(identity.unwrap());
    for is_tls12 in [true, false] {
        assert_eq!(checked(config(is_tls12), &options).await.failure, None);
    }
}

#[tokio::test]
async fn a_server_is_told_that_nothing_more_comes() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls(&certified, BOTH, &[])));
    let (listener, address) = listen().await;
    let left = async {
        let (stream, _) = listener.accept().await.unwrap();
        // Without a goodbye, this is an error.
        acceptor.accept(stream).await.unwrap().read(&mut [0; 16]).await
    };
    let (options, target) = (trusting(Some(authority.file())), address.to_string());
    let (report, left) = tokio::join!(check(&target, &options), left);
    assert_eq!((report.failure, left.unwrap()), (None, 0));
}

#[tokio::test]
async fn a_report_is_written_with_times_as_numbers_and_dates_as_text() {
    let authority = CertificateAuthority::new().unwrap();
    let report = of(
        &authority.server(NAMES, Validity::Ended).unwrap(),
        &trusting(Some(authority.file())),
    )
    .await;
    let json = serde_json::to_value(&report).unwrap();
    assert!(
        json["handshake_ms"].is_f64() && json["start_tls_ms"].is_null() && json["dns_ms"].is_null(),
        "{json:#}"
    );
    assert_eq!(json["tls"]["chain"][0]["not_after"], "2002-01-01T00:00:00Z");
    assert_eq!(json["tls"]["findings"][0]["kind"], "expired");
    assert_eq!(json["failure"]["kind"], "certificate");
}

const TARGET: &str = "NETCHECK_TEST_TARGET";

/// What the other process does: the trusted issuers of a system are read once in each.
#[test]
#[ignore = "run by the test below, with issuers of its own"]
fn with_the_issuers_of_the_system() {
    let Ok(target) = std::env::var(TARGET) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(check(&target, &TlsOptions::default()));
    println!("failure: {:?}", report.failure.map(|failure| failure.detail));
}

#[tokio::test]
async fn whom_the_system_trusts_is_trusted_and_a_system_that_trusts_nobody_is_told() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(NAMES, Validity::Now).unwrap();
    let nobody = tempfile::NamedTempFile::new().unwrap();
    for (trusted, expected) in [
        (authority.file(), "failure: None"),
        (
            nobody.path(),
            "this machine trusts nobody: it has no certificates of issuers",
        ),
    ] {
        let (listener, address) = listen().await;
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "--ignored",
            "--nocapture",
            "tls::with_the_issuers_of_the_system",
        ]);
        child
            .env(TARGET, address.to_string())
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR");
        let output = beside(
            handshakes(listener, tls(&certified, BOTH, &[])),
            child.kill_on_drop(true).output(),
        )
        .await;
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(output.contains(expected), "{output}");
    }
}

proptest! {
    #[test]
    fn a_certificate_with_any_bytes_changed_is_judged(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
    ) {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut der = made.der().to_vec();
        for (index, byte) in changes {
            let index = index.index(der.len());
            der[index] = byte;
        }
        netcheck::tls::fuzzing::certificate(&der);
    }

    #[test]
    fn whatever_is_said_before_tls_is_understood_or_refused(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        netcheck::tls::fuzzing::start_tls(&data);
    }
}
