//! Over a real socket, behind the real server: packed bodies, and errors that it finds.
use crate::{
    agents::{batch, file},
    doors::{AGENT_ROUTES, filled},
    fixture::{App, As},
};
use axum::http::Method;
use fleet_api::OPERATOR_ROUTES;
use serde_json::{Value, json};
use std::{io::Write, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use transport_http::Server;

async fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Serves `app` for as long as `calls` take.
async fn served(app: &App, calls: impl AsyncFnOnce(SocketAddr)) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let serving = server.run(app.router.clone(), stop.clone(), Duration::from_secs(5));
    let calls = async {
        calls(address).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(serving, calls);
    served.unwrap();
}

#[tokio::test]
async fn a_key_is_looked_at_before_any_of_the_body_has_come() {
    let app = App::new().await;
    served(&app, async |address| {
        let paths = OPERATOR_ROUTES
            .iter()
            .filter(|route| route.method == Method::POST)
            .map(|route| filled(route.path));
        for path in paths.chain(AGENT_ROUTES.map(str::to_owned)) {
            // The body that these headers announce never comes.
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
            );
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 401", "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn packed_bodies_are_unpacked_and_metrics_know_this_machine() {
    let app = App::new().await;
    let As::Agent(key) = app.agent(&app.operator().await, "a").await else {
        panic!("an agent has a key")
    };
    served(&app, async |address| {
        let body = |first| {
            batch(
                "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e",
                first,
                &[("file.created", file("/a", first))],
            )
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body(1).to_string().as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(body(2).to_string().as_bytes(), 3).unwrap();
        let headers = |encoding: &str| format!("X-API-KEY: {key}\r\nContent-Encoding: {encoding}\r\n");
        let path = "/api/v1/ingest";
        assert_eq!(
            post(address, path, &headers("gzip"), &gzip).await,
            (200, json!({"accepted_through": 1}))
        );
        assert_eq!(
            post(address, path, &headers("zstd"), &zstd).await,
            (200, json!({"accepted_through": 2}))
        );
        let (status, problem) = post(address, path, &headers("gzip"), b"not packed at all").await;
        assert_eq!((status, problem["status"].as_u64()), (400, Some(400)), "{problem}");
        let (status, problem) = post(address, path, &headers("br"), &gzip).await;
        assert_eq!((status, problem["status"].as_u64()), (415, Some(415)), "{problem}");

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("fleet_up 1\n"),
            "{answer}"
        );
    })
    .await;
}
