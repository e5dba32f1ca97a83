//! The server's own TLS: its files, their renewal, clients that show who they are, and handshakes that never end.
use crate::{
    peer::settings,
    server::{Running, bind},
};
use axum::{Extension, Router, routing::get};
use chrono::{TimeZone as _, Utc};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::{CertificateAuthority, Certified, Validity};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use transport_http::{
    CertificateFault, Client, ClientAuth, ClientIdentity, ClientSettings, PeerCertificate, SendError, ServerLimits,
    ServerTls, TlsError, TlsFiles,
};

const LONG: Duration = Duration::from_secs(60);

fn files(certified: &Certified) -> TlsFiles {
    TlsFiles {
        certificate: certified.certificate.clone(),
        key: certified.key.clone(),
        ..TlsFiles::default()
    }
}

/// Says how many bytes the certificate of the client has, or 0.
fn shown() -> Router {
    Router::new().route(
        "/shown",
        get(async |shown: Option<Extension<PeerCertificate>>| {
            shown
                .map_or(0, |Extension(certificate)| certificate.der().len())
                .to_string()
        }),
    )
}

fn serve(tls: ServerTls) -> Running {
    Running::of(bind().with_tls(tls), shown(), LONG)
}

fn client(address: SocketAddr, ca_file: &Path, identity: Option<&Certified>) -> Client {
    let identity = identity.map(|certified| ClientIdentity {
        certificate: certified.certificate.clone(),
        key: certified.key.clone(),
    });
    let settings = ClientSettings {
        ca_file: Some(ca_file.to_owned()),
        retry_attempts: 0,
        identity,
        ..settings(&format!("https://localhost:{}", address.port()))
    };
    Client::new(settings).unwrap()
}

async fn ask(address: SocketAddr, ca_file: &Path, identity: Option<&Certified>) -> Result<usize, SendError> {
    client(address, ca_file, identity).get_json("/shown").await
}

fn fault(outcome: Result<usize, SendError>) -> CertificateFault {
    match outcome.unwrap_err() {
        SendError::Certificate { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn our_own_client_is_served() {
    let authority = CertificateAuthority::new().unwrap();
    let tls = ServerTls::from_files(&files(&authority.server(&["localhost"], Validity::Now).unwrap())).unwrap();
    assert_eq!(tls.expires_at(), Utc.with_ymd_and_hms(2090, 1, 1, 0, 0, 0).single());
    let server = serve(tls);
    assert_eq!(ask(server.address, authority.file(), None).await.unwrap(), 0);
    server.end().await;
}

#[tokio::test]
async fn plain_http_on_a_tls_port_gets_no_answer() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["localhost"], Validity::Now).unwrap();
    let server = serve(ServerTls::from_files(&files(&certified)).unwrap());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /shown HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.ok();
    // An alert of TLS, which is what such a client can show somebody who knows.
    assert_eq!(said.first(), Some(&21), "{said:?}");
    let url = format!("http://{}", server.address);
    let error = Client::new(settings(&url))
        .unwrap()
        .get_json::<u8>("/")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`https://`"), "{error}");
    server.end().await;
}

/// What `from_files` says of files with these contents; `None` for a file that is missing.
fn refused(certificate: Option<&str>, key: Option<&str>) -> (TlsError, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: Option<&str>| {
        let path = dir.path().join(name);
        text.inspect(|text| fs::write(&path, text).unwrap());
        path
    };
    let files = TlsFiles {
        certificate: write("server.pem", certificate),
        key: write("server.key", key),
        ..TlsFiles::default()
    };
    (ServerTls::from_files(&files).unwrap_err(), dir.path().to_owned())
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let authority = CertificateAuthority::new().unwrap();
    let one = authority.server(&["localhost"], Validity::Now).unwrap();
    let other = authority.server(&["localhost"], Validity::Now).unwrap();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let (certificate, key, others) = (read(&one.certificate), read(&one.key), read(&other.key));
    let damaged = certificate.replace('M', "-");
    let nonsense = certificate.replacen("MII", "AAA", 1);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let short = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (certificate, key, file, said) in [
        (None, Some(&*key), "server.pem", "could not read the certificate"),
        (Some(&*certificate), None, "server.key", "could not read the key"),
        (Some("hello"), Some(&*key), "server.pem", "holds no certificate"),
        (Some(&*key), Some(&*key), "server.pem", "holds no certificate"),
        (Some(&*damaged), Some(&*key), "server.pem", "not whole PEM"),
        (Some(&*nonsense), Some(&*key), "server.pem", "damaged"),
        (Some(&*certificate), Some(""), "server.key", "holds no private key"),
        (
            Some(&*certificate),
            Some(&*certificate),
            "server.key",
            "holds no private key",
        ),
        (Some(&*certificate), Some(locked), "server.key", "passphrase"),
        (Some(&*certificate), Some(short), "server.key", "cannot be used"),
        (Some(&*certificate), Some(&*others), "server.key", "does not belong"),
    ] {
        let (error, dir) = refused(certificate, key);
        let text = error.to_string();
        assert!(text.contains(said), "{said}: {error:?}");
        assert!(text.contains(&dir.join(file).display().to_string()), "{file}: {text}");
    }
}

#[test]
fn clients_cannot_be_checked_without_their_authority() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["localhost"], Validity::Now).unwrap();
    let with = |client_ca: Option<PathBuf>| {
        ServerTls::from_files(&TlsFiles {
            client_ca,
            client_auth: ClientAuth::Required,
            ..files(&certified)
        })
    };
    assert!(matches!(with(None), Err(TlsError::NoClientCa)));
    let error = with(Some(certified.key.clone())).unwrap_err();
    assert!(
        matches!(error, TlsError::NoCertificate { what: "client CA", .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_s_certificate_reaches_the_handlers() {
    let (authority, stranger) = (
        CertificateAuthority::new().unwrap(),
        CertificateAuthority::new().unwrap(),
    );
    let certified = authority.server(&["localhost"], Validity::Now).unwrap();
    let (known, unknown) = (
        authority.client("agent-7").unwrap(),
        stranger.client("agent-7").unwrap(),
    );
    for (client_auth, without) in [(ClientAuth::Optional, Some(0)), (ClientAuth::Required, None)] {
        let tls = TlsFiles {
            client_ca: Some(authority.file().to_owned()),
            client_auth,
            ..files(&certified)
        };
        let server = serve(ServerTls::from_files(&tls).unwrap());
        let ca = authority.file();
        assert!(
            ask(server.address, ca, Some(&known)).await.unwrap() > 100,
            "{client_auth:?}"
        );
        for _ in 0..10 {
            let refused = fault(ask(server.address, ca, Some(&unknown)).await);
            assert_eq!(refused, CertificateFault::IdentityRefused, "{client_auth:?}");
            match (ask(server.address, ca, None).await, without) {
                (Ok(bytes), Some(expected)) => assert_eq!(bytes, expected),
                (refused, None) => assert_eq!(fault(refused), CertificateFault::IdentityWanted),
                (Err(error), Some(_)) => panic!("{error:?}"),
            }
        }
        server.end().await;
    }
}

fn replace(from: &Certified, to: &Certified) {
    fs::copy(&from.certificate, &to.certificate).unwrap();
    fs::copy(&from.key, &to.key).unwrap();
}

#[tokio::test]
async fn renewed_files_are_taken_up_and_broken_ones_are_not() {
    let (old, new) = (
        CertificateAuthority::new().unwrap(),
        CertificateAuthority::new().unwrap(),
    );
    let served = old.server(&["localhost"], Validity::Now).unwrap();
    let renewed = new.server(&["localhost"], Validity::Now).unwrap();
    let tls = ServerTls::from_files(&files(&served))
        .unwrap()
        .with_recheck(Duration::ZERO);
    let server = serve(tls);
    assert_eq!(ask(server.address, old.file(), None).await.unwrap(), 0);

    // Half way through a renewal the key is another certificate's; then both are garbage; then one is missing.
    fs::copy(&renewed.certificate, &served.certificate).unwrap();
    assert_eq!(ask(server.address, old.file(), None).await.unwrap(), 0);
    fs::write(&served.certificate, "garbage").unwrap();
    fs::write(&served.key, "garbage").unwrap();
    assert_eq!(ask(server.address, old.file(), None).await.unwrap(), 0);
    fs::remove_file(&served.key).unwrap();
    assert_eq!(ask(server.address, old.file(), None).await.unwrap(), 0);

    replace(&renewed, &served);
    assert_eq!(ask(server.address, new.file(), None).await.unwrap(), 0);
    assert_eq!(
        fault(ask(server.address, old.file(), None).await),
        CertificateFault::UnknownIssuer
    );
    server.end().await;
}

#[tokio::test]
async fn the_files_are_left_alone_until_it_is_time() {
    let (old, new) = (
        CertificateAuthority::new().unwrap(),
        CertificateAuthority::new().unwrap(),
    );
    let served = old.server(&["localhost"], Validity::Now).unwrap();
    let tls = ServerTls::from_files(&files(&served))
        .unwrap()
        .with_recheck(LONG * 1000);
    let server = serve(tls);
    replace(&new.server(&["localhost"], Validity::Now).unwrap(), &served);
    assert_eq!(ask(server.address, old.file(), None).await.unwrap(), 0);
    server.end().await;
}

#[tokio::test]
async fn who_never_shakes_hands_is_dropped_counts_as_a_connection_and_stops_nobody() {
    let authority = CertificateAuthority::new().unwrap();
    let certified = authority.server(&["localhost"], Validity::Now).unwrap();
    let tls = ServerTls::from_files(&files(&certified)).unwrap();
    let limits = |max_connections, handshake_timeout| ServerLimits {
        max_connections,
        handshake_timeout,
        ..ServerLimits::default()
    };
    // Two places: the silent one has the first for good, and the others go on.
    let server = bind().with_limits(limits(2, LONG)).with_tls(tls.clone());
    let server = Running::of(server, shown(), LONG);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(ask(server.address, authority.file(), None).await.unwrap(), 0);
    // The end waits for requests under way, and a handshake is none.
    server.end().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);

    // One place: whoever comes after the silent one is served once that is dropped.
    let server = bind().with_limits(limits(1, Duration::from_millis(500))).with_tls(tls);
    let server = Running::of(server, shown(), LONG);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(ask(server.address, authority.file(), None).await.unwrap(), 0);
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0, "it was dropped before");
    server.end().await;
}
