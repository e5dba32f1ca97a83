//! Connections and requests.
use super::{
    Order, OtlpAnswer, Shared, check,
    grpc::{self, Body},
    socket,
};
use crate::Certified;
use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message as _;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{convert::Infallible, future, io::Read as _, net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc::UnboundedReceiver,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Waiting connections; a test has a handful.
const BACKLOG: u32 = 128;

pub(super) struct Acceptor {
    listener: Option<TcpListener>,
    _place: TcpSocket,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
}

impl Acceptor {
    pub(super) fn new(
        address: SocketAddr,
        place: TcpSocket,
        tls: Option<&Certified>,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        Ok(Self {
            listener: Some(listen(address)?),
            _place: place,
            address,
            tls: tls.map(acceptor).transpose()?,
            shared,
        })
    }

    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    if !order.listens {
                        connections.shutdown().await;
                    }
                    order.done.send(self.obey(order.listens)).ok();
                }
                stream = accept(self.listener.as_ref()) => {
                    let (tls, shared) = (self.tls.clone(), Arc::clone(&self.shared));
                    // That a connection broke is the client's to say.
                    connections.spawn(async move { serve(stream, tls, shared).await.ok() });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn obey(&mut self, listens: bool) -> Result<()> {
        match (listens, self.listener.is_some()) {
            (true, false) => self.listener = Some(listen(self.address)?),
            (false, _) => self.listener = None,
            (true, true) => {}
        }
        Ok(())
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = socket()?;
    socket
        .bind(address)
        .with_context(|| format!("could not bind {address}"))?;
    socket
        .listen(BACKLOG)
        .with_context(|| format!("could not listen on {address}"))
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return future::pending().await;
    };
    loop {
        // A connection that was gone before it was accepted is none.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

fn acceptor(shown: &Certified) -> Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&shown.certificate)?.collect();
    let key = PrivateKeyDer::from_pem_file(&shown.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) -> Result<()> {
    let server = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let served = match tls {
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            server.serve_connection(TokioIo::new(stream), service).await
        }
        None => server.serve_connection(TokioIo::new(stream), service).await,
    };
    served.map_err(|error| anyhow::anyhow!(error))
}

/// A request as both protocols have it.
struct Received {
    path: String,
    body: Vec<u8>,
    is_packed: bool,
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Body> {
    let (head, body) = request.into_parts();
    let is_grpc = content_type(&head.headers).starts_with("application/grpc");
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return untaken(is_grpc, 400, None, &error.to_string()),
    };
    let keys = &shared.headers;
    let is_known = keys
        .iter()
        .all(|(name, value)| head.headers.get(name).is_some_and(|given| given == value));
    let read = if is_grpc {
        read_grpc(head.uri.path(), &head.headers, &body)
    } else {
        read_http(&head.method, head.uri.path(), &head.headers, &body)
    };
    let mut state = shared.lock();
    state.received.requests += 1;
    state.received.by_grpc += u64::from(is_grpc);
    let response = match read {
        Err(error) => {
            state.received.complaints.push(format!("{error:#}"));
            untaken(is_grpc, 400, None, &format!("{error:#}"))
        }
        Ok(_) if !is_known => untaken(is_grpc, 401, None, "who are you?"),
        Ok(read) => {
            state.received.compressed += u64::from(read.is_packed);
            judge(&read, is_grpc, &mut state)
        }
    };
    drop(state);
    shared.changed.notify_all();
    response
}

fn judge(read: &Received, is_grpc: bool, state: &mut super::State) -> Response<Body> {
    let said = match state.answer.clone() {
        OtlpAnswer::Status {
            code,
            retry_after,
            message,
        } => return untaken(is_grpc, code, retry_after, &message),
        OtlpAnswer::Take => None,
        OtlpAnswer::Partial { rejected, message } => Some((rejected, message)),
    };
    let (history, received) = (&mut state.history, &mut state.received);
    if let Err(error) = check::take(&read.path, &read.body, history, received) {
        received.complaints.push(format!("{error:#}"));
        return untaken(is_grpc, 400, None, &format!("{error:#}"));
    }
    // The answers of all three kinds are the same bytes.
    let said = ExportLogsServiceResponse {
        partial_success: said.map(|(rejected_log_records, error_message)| ExportLogsPartialSuccess {
            rejected_log_records,
            error_message,
        }),
    };
    let said = said.encode_to_vec();
    if is_grpc {
        return grpc::taken(&said);
    }
    let mut response = Response::new(Full::new(Bytes::from(said)).boxed());
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(CONTENT_TYPE, protobuf);
    response
}

fn untaken(is_grpc: bool, status: u16, retry_after: Option<u32>, message: &str) -> Response<Body> {
    if is_grpc {
        return grpc::untaken(status, message);
    }
    let mut response = Response::new(Full::new(Bytes::from(message.to_owned())).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn read_http(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Received> {
    ensure!(method == Method::POST, "{method} instead of POST");
    let of = content_type(headers);
    ensure!(of == "application/x-protobuf", "the content type `{of}`");
    let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let mut unpacked = Vec::new();
    match encoding {
        None => unpacked.extend(body),
        Some(b"gzip") => {
            GzDecoder::new(body).read_to_end(&mut unpacked).context("not gzip")?;
        }
        Some(other) => bail!("the encoding `{}`", String::from_utf8_lossy(other)),
    }
    Ok(Received {
        path: path.to_owned(),
        body: unpacked,
        is_packed: encoding.is_some(),
    })
}

fn read_grpc(path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Received> {
    let path = grpc::path(path).with_context(|| format!("no such method: {path}"))?;
    let (body, is_packed) = grpc::message(headers, body)?;
    Ok(Received {
        path: path.to_owned(),
        body,
        is_packed,
    })
}
