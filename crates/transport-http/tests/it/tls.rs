//! Certificates: whom the client trusts and whom it does not.
use crate::peer::settings;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};
use transport_http::{Client, ClientSettings, SendError, ensure_crypto_provider};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tls")
        .join(name)
}

/// Serves one connection with a certificate for `localhost`, and tells whether a request came through.
fn serve_once() -> (u16, JoinHandle<bool>) {
    ensure_crypto_provider();
    let chain = CertificateDer::pem_file_iter(file("localhost.pem"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let config = Arc::new(
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap_or(0);
        if read > 0 {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1")
                .unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
        read > 0
    });
    (port, server)
}

async fn get(host: &str, ca_file: Option<PathBuf>) -> (Result<u8, SendError>, bool) {
    let (port, server) = serve_once();
    let settings = ClientSettings {
        ca_file,
        retry_attempts: 0,
        ..settings(&format!("https://{host}:{port}"))
    };
    let outcome = Client::new(settings).unwrap().get_json("/x").await;
    (outcome, server.join().unwrap())
}

#[tokio::test]
async fn an_authority_that_is_named_is_trusted() {
    let (outcome, served) = get("localhost", Some(file("authority.pem"))).await;
    assert_eq!((outcome.unwrap(), served), (1, true));
}

#[tokio::test]
async fn an_unknown_authority_is_not() {
    let (outcome, served) = get("localhost", None).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, SendError::Certificate { .. }), "{error:?}");
    assert!(error.to_string().contains("`ca_file`"), "{error}");
    assert!(!served && !error.is_temporary());
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not() {
    let (outcome, served) = get("127.0.0.1", Some(file("authority.pem"))).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, SendError::Certificate { .. }), "{error:?}");
    assert!(!served);
}
