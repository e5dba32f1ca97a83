//! The server against clients that are slow, greedy or gone.
use crate::peer::settings;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    routing::{get as on_get, post},
};
use core_model::ByteSize;
use serde_json::{Value, json};
use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use transport_http::{
    BindError, Client, ClientSettings, Compression, HeaderMap, Method, Request, ServeError, Server, ServerLimits,
};

/// A server in the background of a test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinSet<Result<(), ServeError>>,
}

impl Running {
    pub(crate) fn new(router: Router) -> Self {
        Self::with(router, ServerLimits::default(), Duration::from_secs(60))
    }

    pub(crate) fn with(router: Router, limits: ServerLimits, grace: Duration) -> Self {
        Self::of(bind().with_limits(limits), router, grace)
    }

    pub(crate) fn of(server: Server, router: Router, grace: Duration) -> Self {
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn(server.run(router, stop.clone(), grace));
        Self { address, stop, task }
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// On a port of its own.
pub(crate) fn bind() -> Server {
    Server::bind(([127, 0, 0, 1], 0).into()).unwrap()
}

/// An answer as it came over the wire.
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }
}

async fn read(stream: &mut TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Some(Reply {
        status: head[9..12].parse().unwrap(),
        head,
        body: bytes.split_off(end + 4),
    })
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    read(&mut stream).await.unwrap()
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(
        address,
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes(),
    )
    .await
}

async fn send(address: SocketAddr, headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "POST /length HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    exchange(address, &[head.as_bytes(), body].concat()).await
}

fn length() -> Router {
    Router::new().route("/length", post(async |body: Bytes| body.len().to_string()))
}

fn small() -> ServerLimits {
    ServerLimits {
        max_body: ByteSize::new(1000),
        ..ServerLimits::default()
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn an_address_in_use_is_named_with_a_remedy() {
    let first = Server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let error = Server::bind(first.local_addr()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    let said = format!(
        "{} is in use: stop what listens there, or choose another port",
        first.local_addr()
    );
    assert_eq!(error.to_string(), said);
    let elsewhere = Server::bind("192.0.2.1:1".parse().unwrap()).unwrap_err();
    assert!(elsewhere.to_string().contains("192.0.2.1:1"), "{elsewhere}");
}

#[tokio::test]
async fn packed_bodies_are_unpacked() {
    let server = Running::new(length());
    let body = vec![b'a'; 300_000];
    let packed = zstd::encode_all(&body[..], 3).unwrap();
    for (headers, sent) in [
        ("", &body[..]),
        ("content-encoding: gzip\r\n", &gzip(&body)),
        ("content-encoding: zstd\r\n", &packed),
    ] {
        assert_eq!(send(server.address, headers, sent).await.body, b"300000", "{headers}");
    }
    let reply = send(server.address, "content-encoding: br\r\n", b"x").await;
    assert_eq!(reply.problem(), (415, "unsupported_media_type".to_owned()));
    server.end().await;
}

#[tokio::test]
async fn our_own_client_is_understood_however_it_packs() {
    let router = Router::new().route(
        "/sum",
        post(async |Json(all): Json<Vec<u64>>| Json(all.iter().sum::<u64>())),
    );
    let server = Running::new(router);
    let numbers: Vec<u64> = (0..2000).collect();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let settings = ClientSettings {
            compression,
            ..settings(&format!("http://{}", server.address))
        };
        let client = Client::new(settings).unwrap();
        let sum: u64 = client.post_json("/sum", &numbers, HeaderMap::new()).await.unwrap();
        assert_eq!(sum, 1_999_000);
        let error = client
            .post_json::<_, u64>("/sum", &"x", HeaderMap::new())
            .await
            .unwrap_err();
        assert_eq!(error.problem().unwrap().code, "unprocessable_entity");
    }
    server.end().await;
}

#[tokio::test]
async fn a_body_is_bounded_as_sent_and_as_unpacked() {
    let server = Running::with(length(), small(), Duration::ZERO);
    let too_large = (413, "payload_too_large".to_owned());
    assert_eq!(send(server.address, "", &[b'a'; 1000]).await.body, b"1000");
    assert_eq!(send(server.address, "", &[b'a'; 1001]).await.problem(), too_large);
    let bomb = gzip(&vec![b'a'; 100_000]);
    assert!(bomb.len() < 1000);
    assert_eq!(
        send(server.address, "content-encoding: gzip\r\n", &bomb)
            .await
            .problem(),
        too_large
    );
    let chunked = format!(
        "POST /length HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{}\r\n0\r\n\r\n",
        "a".repeat(2000)
    );
    assert_eq!(exchange(server.address, chunked.as_bytes()).await.problem(), too_large);
    // Empty gzip members unpack to nothing, however many there are.
    let padding = gzip(b"").repeat(10_000);
    assert_eq!(
        send(server.address, "content-encoding: gzip\r\n", &padding)
            .await
            .problem(),
        too_large
    );
    server.end().await;
}

#[tokio::test]
async fn our_own_client_hears_why_a_long_body_is_refused() {
    let server = Running::with(length(), small(), Duration::ZERO);
    let client = Client::new(settings(&format!("http://{}", server.address))).unwrap();
    for _ in 0..20 {
        let request = Request::new(Method::POST, "/length").with_body("text/plain", vec![b'a'; 5_000_000]);
        let error = client.send(request, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.status().map(|status| status.as_u16()), Some(413), "{error:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let router = Router::new()
        .route("/json", post(async |Json(_): Json<Value>| ""))
        .route("/panic", on_get(async || -> &'static str { panic!("the secret plan") }))
        .route(
            "/own",
            on_get(async || (axum::http::StatusCode::CONFLICT, Json(json!({"own": true})))),
        );
    let server = Running::new(router);
    let missing = get(server.address, "/nowhere").await;
    assert_eq!(missing.problem(), (404, "not_found".to_owned()));
    assert_eq!(missing.json()["detail"], "there is nothing at `/nowhere`");
    let wrong = get(server.address, "/json").await;
    assert_eq!(
        (wrong.problem(), wrong.header("allow")),
        ((405, "method_not_allowed".to_owned()), Some("POST"))
    );
    let panicked = get(server.address, "/panic").await;
    assert_eq!(panicked.problem(), (500, "internal_error".to_owned()));
    assert!(!panicked.json().to_string().contains("secret"));
    assert_eq!(
        get(server.address, "/own").await.json(),
        json!({"own": true}),
        "a handler's own words stay"
    );
    let request = b"POST /json HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{";
    let garbage = exchange(server.address, request).await;
    assert_eq!(garbage.problem(), (400, "bad_request".to_owned()));
    assert!(
        garbage.json()["detail"].as_str().unwrap().contains("EOF"),
        "{}",
        garbage.json()
    );
    server.end().await;
}

#[tokio::test]
async fn who_never_ends_the_headers_is_dropped() {
    let limits = ServerLimits {
        header_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = Running::with(length(), limits, Duration::ZERO);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    // It returns at all: the server closed, with or without a word.
    let reply = read(&mut stream).await;
    assert!(reply.is_none_or(|reply| reply.status == 408));
    server.end().await;
}

#[tokio::test]
async fn who_never_ends_the_body_is_answered() {
    let limits = ServerLimits {
        request_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = Running::with(length(), limits, Duration::ZERO);
    let request = b"POST /length HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc";
    assert_eq!(
        exchange(server.address, request).await.problem(),
        (503, "request_timeout".to_owned())
    );
    server.end().await;
}

/// A handler that says when it is reached and waits to be let go.
struct Gate {
    reached: Notify,
    open: Notify,
}

fn gated() -> (Arc<Gate>, Router) {
    let gate = Arc::new(Gate {
        reached: Notify::new(),
        open: Notify::new(),
    });
    let wait = async |State(gate): State<Arc<Gate>>, ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        gate.reached.notify_one();
        gate.open.notified().await;
        peer.to_string()
    };
    (
        Arc::clone(&gate),
        Router::new().route("/wait", on_get(wait)).with_state(gate),
    )
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_end() {
    let (gate, router) = gated();
    let server = Running::new(router);
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    gate.reached.notified().await;
    server.stop.cancel();
    assert_eq!(
        idle.read(&mut [0]).await.unwrap_or(0),
        0,
        "an idle connection is closed at once"
    );
    gate.open.notify_one();
    let reply = read(&mut stream).await.unwrap();
    assert_eq!(
        reply.body,
        stream.local_addr().unwrap().to_string().as_bytes(),
        "handlers know the peer"
    );
    assert_eq!(reply.header("connection"), Some("close"));
    server.end().await;
}

#[tokio::test]
async fn what_outlasts_the_grace_is_dropped() {
    let (gate, router) = gated();
    let server = Running::with(router, ServerLimits::default(), Duration::from_millis(20));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    gate.reached.notified().await;
    server.end().await;
    assert!(read(&mut stream).await.is_none());
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let (gate, router) = gated();
    let limits = ServerLimits {
        max_connections: 1,
        ..ServerLimits::default()
    };
    let server = Running::with(router, limits, Duration::ZERO);
    let request = b"GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(request).await.unwrap();
    gate.reached.notified().await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(request).await.unwrap();
    gate.open.notify_one();
    assert_eq!(read(&mut first).await.unwrap().status, 200);
    // Only now can the second have been accepted: its handler takes the next turn of the gate.
    gate.reached.notified().await;
    gate.open.notify_one();
    assert_eq!(read(&mut second).await.unwrap().status, 200);
    server.end().await;
}
