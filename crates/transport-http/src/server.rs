//! The server: accepts within bounds, serves, and ends without cutting off whom it is serving.
use crate::{PeerCertificate, ServerLimits, ServerTls};
use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{self, JoinSet},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// After the system refused to accept (out of file descriptors, say), trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A bound address, not yet served. It takes connections into the system's backlog already.
#[derive(Debug)]
pub struct Server {
    listener: StdListener,
    address: SocketAddr,
    limits: ServerLimits,
    tls: Option<ServerTls>,
}

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process is there.
    #[error("{address} is in use: stop what listens there, or choose another port")]
    InUse {
        /// The address wanted.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Not permitted.
    #[error("may not listen on {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    NotPermitted {
        /// The address wanted.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No such address here, or anything else.
    #[error("could not listen on {address}")]
    Listen {
        /// The address wanted.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Why serving could not begin. Trouble with one connection never ends the server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The runtime does not take the socket.
    #[error("could not serve on {address}")]
    Register {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Server {
    /// Listens on `address`; port 0 lets the system choose. Needs no runtime yet, so a process may do it before it
    /// gives up its privileges.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = StdListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        match bound {
            Ok((address, listener)) => Ok(Self {
                listener,
                address,
                limits: ServerLimits::default(),
                tls: None,
            }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse { address, source },
                io::ErrorKind::PermissionDenied => BindError::NotPermitted { address, source },
                _ => BindError::Listen { address, source },
            }),
        }
    }

    /// Other bounds than the default ones.
    pub fn with_limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Speaks HTTPS only. Handlers can extract `Option<Extension<PeerCertificate>>` where clients show certificates.
    pub fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop`; then accepts no more, lets requests under way finish for as long as `grace`, and
    /// drops what is left. Handlers can extract `ConnectInfo<SocketAddr>`. Dropping the future drops all connections.
    pub async fn run(self, router: Router, stop: CancellationToken, grace: Duration) -> Result<(), ServeError> {
        let address = self.address;
        let register = |source| ServeError::Register { address, source };
        let listener = TcpListener::from_std(self.listener).map_err(register)?;
        let places = Arc::new(Semaphore::new(
            self.limits.max_connections.clamp(1, Semaphore::MAX_PERMITS),
        ));
        let serving = Arc::new(Serving {
            router: self.limits.around(router),
            tls: self.tls,
            handshake_timeout: self.limits.handshake_timeout,
            header_timeout: self.limits.header_timeout,
            stop: stop.clone(),
        });
        let mut connections = JoinSet::new();
        tracing::debug!(%address, "listening");
        while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
            match accepted {
                Ok((stream, peer, place)) => {
                    drop(connections.spawn(Arc::clone(&serving).connection(stream, peer, place)))
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "could not accept a connection");
                    stop.run_until_cancelled(time::sleep(ACCEPT_PAUSE)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        let finish = async { while connections.join_next().await.is_some() {} };
        if time::timeout(grace, finish).await.is_err() {
            tracing::warn!(%address, connections = connections.len(), ?grace, "dropping connections that did not finish in time");
        }
        Ok(())
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so a permit always comes.
    let place = Arc::clone(places).acquire_owned().await.ok();
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Reads what the client still sends. To close before it has would take back the alert that says why.
async fn hear_out(mut stream: TcpStream) {
    let mut rest = [0; 1024];
    let mut allowed = 64;
    stream.shutdown().await.ok();
    while allowed > 0 && stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {
        allowed -= 1;
    }
}

struct Serving {
    router: Router,
    tls: Option<ServerTls>,
    handshake_timeout: Duration,
    header_timeout: Duration,
    stop: CancellationToken,
}

impl Serving {
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, _place: Option<OwnedSemaphorePermit>) {
        // Answers are small and written whole: waiting to fill a segment only delays them.
        stream.set_nodelay(true).ok();
        let Some(tls) = &self.tls else {
            return self.http(stream, peer, None).await;
        };
        // Who has not even shaken hands when the server stops has nothing under way that could be finished.
        let Some(shaken) = self.stop.run_until_cancelled(self.handshake(tls, stream)).await else {
            return;
        };
        match shaken {
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let certificate = shown.first().map(PeerCertificate::new);
                self.http(stream, peer, certificate).await;
            }
            Err(error) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        }
    }

    async fn handshake(&self, tls: &ServerTls, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        if tls.is_due() {
            let tls = tls.clone();
            // Only this connection waits for the disk. Should the look fail, what was read before serves.
            task::spawn_blocking(move || tls.renew()).await.ok();
        }
        let shake = async {
            match TlsAcceptor::from(tls.config()).accept(stream).into_fallible().await {
                Ok(stream) => Ok(stream),
                Err((error, stream)) => {
                    hear_out(stream).await;
                    Err(error)
                }
            }
        };
        time::timeout(self.handshake_timeout, shake).await?
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: SocketAddr,
        certificate: Option<PeerCertificate>,
    ) {
        let with_peer = move |mut request: Request<Incoming>| {
            let extensions = request.extensions_mut();
            extensions.insert(ConnectInfo(peer));
            certificate.clone().map(|certificate| extensions.insert(certificate));
            request.map(Body::new)
        };
        let service = TowerToHyperService::new(self.router.clone().map_request(with_peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}
