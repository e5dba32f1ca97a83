//! Certificates as a TLS client judges them, and the proxy that shows them.
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};
use testkit::{CertificateAuthority, Certified, Fault, FaultyProxy, Recorder, Validity, self_signed};

/// Asks for `/health` as `localhost`, trusting `authority`.
fn ask(proxy: &FaultyProxy, authority: &CertificateAuthority) -> Result<String, Error> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.file()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(proxy.address()).unwrap());
    let mut said = String::new();
    let exchanged = stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut said));
    exchanged.map(|_| said).map_err(|error: io::Error| {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
        tls.unwrap_or_else(|| panic!("{error}"))
    })
}

fn why(proxy: &FaultyProxy, authority: &CertificateAuthority, certified: Certified) -> CertificateError {
    proxy.set(Fault::Certificate(certified)).unwrap();
    match ask(proxy, authority).unwrap_err() {
        Error::InvalidCertificate(why) => why,
        other => panic!("{other}"),
    }
}

#[test]
fn each_wrong_certificate_is_wrong_in_its_own_way() {
    let recorder = Recorder::start().unwrap();
    let authority = CertificateAuthority::new().unwrap();
    let good = authority.server(&["localhost"], Validity::Now).unwrap();
    let proxy = FaultyProxy::start_tls(Some(recorder.address()), good).unwrap();
    assert!(proxy.url().starts_with("https://localhost:"));
    assert!(ask(&proxy, &authority).unwrap().contains("healthy"));

    let other_name = authority.server(&["other.example.org"], Validity::Now).unwrap();
    let why_not = why(&proxy, &authority, other_name);
    assert!(
        matches!(why_not, CertificateError::NotValidForNameContext { .. }),
        "{why_not:?}"
    );
    let ended = authority.server(&["localhost"], Validity::Ended).unwrap();
    let why_not = why(&proxy, &authority, ended);
    assert!(
        matches!(why_not, CertificateError::ExpiredContext { .. }),
        "{why_not:?}"
    );
    let not_yet = authority.server(&["localhost"], Validity::NotYet).unwrap();
    let why_not = why(&proxy, &authority, not_yet);
    assert!(
        matches!(why_not, CertificateError::NotValidYetContext { .. }),
        "{why_not:?}"
    );
    let why_not = why(&proxy, &authority, self_signed(&["localhost"]).unwrap());
    assert_eq!(why_not, CertificateError::UnknownIssuer);

    proxy.set(Fault::Pass).unwrap();
    assert!(ask(&proxy, &authority).unwrap().contains("healthy"));
    assert_eq!(proxy.count("certificate"), 4);
}

#[test]
fn certificates_stay_for_as_long_as_somebody_has_them() {
    let authority = CertificateAuthority::new().unwrap();
    let (server, client) = (
        authority.server(&["localhost", "127.0.0.1"], Validity::Now).unwrap(),
        authority.client("agent-7").unwrap(),
    );
    drop(authority);
    for file in [&server.certificate, &server.key, &client.certificate, &client.key] {
        assert!(file.exists(), "{}", file.display());
    }
    let folder = server.certificate.parent().unwrap().parent().unwrap().to_owned();
    drop((server, client));
    assert!(!folder.exists(), "nothing is left behind");
}
