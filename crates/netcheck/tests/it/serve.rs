//! Servers of a test: each is a future that runs beside the check, and ends with it.
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use std::{
    convert::Infallible,
    fs,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
};
use testkit::{CertificateAuthority, Certified, GUARD};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What comes of a check, while a server serves it.
pub(crate) async fn beside<T>(server: impl Future<Output = ()>, check: impl Future<Output = T>) -> T {
    let (mut server, mut check) = (pin!(server), pin!(check));
    let both = async {
        tokio::select! {
            out = &mut check => out,
            () = &mut server => check.await,
        }
    };
    tokio::time::timeout(GUARD, both).await.expect("the check ends")
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The way of a server to speak TLS.
pub(crate) fn tls(
    certified: &Certified,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ServerConfig {
    let (chain, key) = read(certified);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// The same, and whoever comes has to show a certificate of this authority.
pub(crate) fn mutual_tls(
    authority: &CertificateAuthority,
    certified: &Certified,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let mut trusted = RootCertStore::empty();
    trusted
        .add(CertificateDer::from_pem_file(authority.file()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
    let (chain, key) = read(certified);
    builder.with_single_cert(chain, key).unwrap()
}

fn read(certified: &Certified) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let pem = fs::read(&certified.certificate).unwrap();
    let chain = CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(&certified.key).unwrap())
}

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Shakes hands with whoever comes, and reads until they leave.
pub(crate) async fn handshakes(listener: TcpListener, config: ServerConfig) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            drain(&mut stream).await;
        }
    }
}

/// Sends these bytes to the first that comes, once it has said something if that is wanted, and waits until it leaves.
pub(crate) async fn says(listener: TcpListener, after_a_word: bool, bytes: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    if after_a_word {
        let _ = stream.read(&mut [0; 4096]).await;
    }
    let _ = stream.write_all(bytes).await;
    drain(&mut stream).await;
}

/// The head of a request.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    head
}

pub(crate) async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let mut part = [0; 4096];
    while matches!(stream.read(&mut part).await, Ok(count) if count > 0) {}
}

type Answer = dyn Fn(&Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync;

/// A server of HTTP: how it answers, and what it was asked.
#[derive(Clone)]
pub(crate) struct Site {
    answer: Arc<Answer>,
    asked: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Site {
    pub(crate) fn new(answer: impl Fn(&Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            asked: Arc::default(),
        }
    }

    /// What it was asked until now.
    pub(crate) fn asked(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Serves one connection after another: HTTP/2 where that was agreed on, or `is_http2` where there is no TLS.
    pub(crate) async fn serve(&self, listener: &TcpListener, config: Option<ServerConfig>, is_http2: bool) {
        let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Some(acceptor) = &acceptor else {
                self.connection(stream, is_http2).await;
                continue;
            };
            if let Ok(stream) = acceptor.accept(stream).await {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.connection(stream, is_http2).await;
            }
        }
    }

    async fn connection<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, is_http2: bool) {
        let service = service_fn(|request: Request<Incoming>| {
            let site = self.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body
                    .collect()
                    .await
                    .map(http_body_util::Collected::to_bytes)
                    .unwrap_or_default();
                let request = Request::from_parts(head, body);
                let answer = (site.answer)(&request);
                site.asked.lock().unwrap().push(request);
                Ok::<_, Infallible>(answer)
            }
        });
        // One that leaves in the middle is no concern of the server's.
        if is_http2 {
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        } else {
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    }
}
