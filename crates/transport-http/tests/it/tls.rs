//! Certificates: whom the client trusts and whom it does not, and what it says then.
use crate::peer::{Peer, Turn, answer, settings};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use testkit::{CertificateAuthority, Certified, Fault, FaultyProxy, Validity, self_signed};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use transport_http::{CertificateFault, Client, ClientIdentity, ClientSettings, SendError, SetupError, TlsError};

/// Answers `1` to everything.
fn one(certified: Certified) -> FaultyProxy {
    let server = FaultyProxy::start_tls(None, certified).unwrap();
    let said = Fault::Status {
        code: 200,
        retry_after: None,
        body: "1".to_owned(),
    };
    server.set(said).unwrap();
    server
}

fn trusting(url: &str, ca_file: Option<&Path>) -> ClientSettings {
    ClientSettings {
        ca_file: ca_file.map(Path::to_owned),
        retry_attempts: 0,
        ..settings(url)
    }
}

async fn get(settings: ClientSettings) -> Result<u8, SendError> {
    Client::new(settings).unwrap().get_json("/x").await
}

async fn why(settings: ClientSettings) -> (CertificateFault, String) {
    let error = get(settings).await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    match &error {
        SendError::Certificate { fault, .. } => (fault.clone(), error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_authority_that_is_named_is_trusted() {
    let authority = CertificateAuthority::new().unwrap();
    let server = one(authority.server(&["localhost"], Validity::Now).unwrap());
    assert_eq!(get(trusting(&server.url(), Some(authority.file()))).await.unwrap(), 1);
}

#[tokio::test]
async fn an_unknown_issuer_is_refused_with_a_remedy() {
    let (authority, other) = (
        CertificateAuthority::new().unwrap(),
        CertificateAuthority::new().unwrap(),
    );
    let by_other = other.server(&["localhost"], Validity::Now).unwrap();
    for certified in [by_other, self_signed(&["localhost"]).unwrap()] {
        let server = one(certified);
        for trusted in [None, Some(authority.file())] {
            let (fault, said) = why(trusting(&server.url(), trusted)).await;
            assert_eq!(fault, CertificateFault::UnknownIssuer);
            assert!(said.contains(&server.url()) && said.contains("`ca_file`"), "{said}");
        }
    }
}

#[tokio::test]
async fn another_host_s_certificate_names_whose_it_is() {
    let authority = CertificateAuthority::new().unwrap();
    let server = one(authority.server(&["fleet.example.org"], Validity::Now).unwrap());
    let (fault, said) = why(trusting(&server.url(), Some(authority.file()))).await;
    assert!(matches!(fault, CertificateFault::WrongName { .. }), "{fault:?}");
    assert!(
        said.contains("another host") && said.contains("fleet.example.org"),
        "{said}"
    );
}

#[tokio::test]
async fn a_certificate_out_of_its_time_says_since_when() {
    let authority = CertificateAuthority::new().unwrap();
    let server = one(authority.server(&["localhost"], Validity::Ended).unwrap());
    let (fault, said) = why(trusting(&server.url(), Some(authority.file()))).await;
    assert!(matches!(fault, CertificateFault::Expired { .. }), "{fault:?}");
    assert!(
        said.contains("expired on 2002-01-01 00:00 UTC") && said.contains("renew it"),
        "{said}"
    );
    let server = one(authority.server(&["localhost"], Validity::NotYet).unwrap());
    let (fault, said) = why(trusting(&server.url(), Some(authority.file()))).await;
    assert!(matches!(fault, CertificateFault::NotYetValid { .. }), "{fault:?}");
    assert!(said.contains("2090-01-01") && said.contains("clock"), "{said}");
}

#[tokio::test]
async fn a_server_without_tls_is_named_as_one() {
    let peer = Peer::new([answer("200 OK", "", "1"), Turn::Close]).await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", server.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // What the client still sends is read: to close before that could take the words back.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
    });
    let (fault, said) = why(trusting(&url, None)).await;
    assert_eq!(fault, CertificateFault::NotTls);
    assert!(said.contains("`http://`"), "{said}");
    assert_eq!(peer.seen().len(), 0);
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_with_the_time_to_connect() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = ClientSettings {
        connect_timeout: Duration::from_millis(50),
        ..trusting(&format!("https://{}", silent.local_addr().unwrap()), None)
    };
    let error = get(settings).await.unwrap_err();
    assert!(matches!(error, SendError::ConnectTimeout { .. }), "{error:?}");
}

/// A proxy of one connection: takes CONNECT, and gives what it heard in the clear.
pub(crate) async fn tunnel() -> (String, Arc<Mutex<String>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:pass@{}", listener.local_addr().unwrap());
    let heard = Arc::<Mutex<String>>::default();
    let hears = Arc::clone(&heard);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).await.unwrap() > 0, "{head}");
        }
        let target = head.split(' ').nth(1).unwrap().replace("localhost", "127.0.0.1");
        *hears.lock().unwrap() = head;
        let mut server = TcpStream::connect(target).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .unwrap();
        copy_bidirectional(&mut stream, &mut server).await.ok();
    });
    (url, heard, tasks)
}

#[tokio::test]
async fn a_proxy_carries_tls_to_the_server_and_reads_nothing() {
    let authority = CertificateAuthority::new().unwrap();
    let server = one(authority.server(&["localhost"], Validity::Now).unwrap());
    let (proxy, heard, _tunnel) = tunnel().await;
    let settings = ClientSettings {
        proxy: Some(proxy.parse().unwrap()),
        api_key: Some(core_model::Secret::new("hunter2").into()),
        ..trusting(&server.url(), Some(authority.file()))
    };
    assert_eq!(get(settings).await.unwrap(), 1);
    assert_eq!(server.connections(), 1);
    let heard = heard.lock().unwrap().clone();
    let port = server.address().port();
    assert!(
        heard.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")),
        "{heard}"
    );
    assert!(heard.to_lowercase().contains("proxy-authorization: basic "), "{heard}");
    assert!(!heard.contains("hunter2"), "{heard}");
}

#[tokio::test]
async fn a_proxy_that_is_away_is_named_without_its_password() {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let settings = ClientSettings {
        proxy: Some(format!("http://me:hunter2@{address}").parse().unwrap()),
        ..trusting("https://fleet.example.org", None)
    };
    let error = get(settings).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&format!("by way of the proxy http://{address}")),
        "{said}"
    );
    assert!(!format!("{said} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_identity_that_cannot_be_shown_is_refused_at_once() {
    let authority = CertificateAuthority::new().unwrap();
    let (one, other) = (authority.client("a").unwrap(), authority.client("b").unwrap());
    let with = |certificate: &Path, key: &Path| {
        let settings = ClientSettings {
            identity: Some(ClientIdentity {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            }),
            ..settings("https://fleet.example.org")
        };
        match Client::new(settings).unwrap_err() {
            SetupError::Identity { source, .. } => *source,
            error => panic!("{error:?}"),
        }
    };
    let error = with(&one.certificate, &other.key);
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error:?}");
    let error = with(&PathBuf::from("/no/such/file"), &one.key);
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}
