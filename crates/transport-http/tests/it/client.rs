//! What the client sends, and how it perseveres.
use crate::peer::{Peer, Turn, answer};
use core_model::Secret;
use serde_json::{Value, json};
use std::{
    io::Read as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use transport_http::{
    Client, ClientSettings, Compression, HeaderMap, HeaderValue, Method, Observation, Request, SendError,
};

fn repeatable() -> HeaderMap {
    HeaderMap::from_iter([("idempotency-key".parse().unwrap(), HeaderValue::from_static("batch-1"))])
}

#[tokio::test]
async fn json_goes_out_with_key_and_agent_and_comes_back() {
    let peer = Peer::new([answer("200 OK", "", r#"{"accepted_through":7}"#)]).await;
    let settings = ClientSettings {
        api_key: Some(Secret::new("hunter2").into()),
        user_agent: "scanner/1.0".to_owned(),
        ..peer.settings()
    };
    let client = Client::new(settings).unwrap();
    let reply: Value = client
        .post_json("/api/v1/ingest?x=1", &json!({"records": []}), HeaderMap::new())
        .await
        .unwrap();
    assert_eq!(reply, json!({"accepted_through": 7}));
    let seen = &peer.seen()[0];
    assert!(
        seen.head.starts_with("POST /api/v1/ingest?x=1 HTTP/1.1"),
        "{}",
        seen.head
    );
    for (name, value) in [
        ("x-api-key", "hunter2"),
        ("user-agent", "scanner/1.0"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.body, br#"{"records":[]}"#);
}

#[tokio::test]
async fn a_bearer_token_and_a_path_below_the_base() {
    let peer = Peer::new([answer("204 No Content", "", "")]).await;
    let settings = ClientSettings {
        base_url: format!("http://{}/shoal/", peer.address).parse().unwrap(),
        bearer: Some(Secret::new("t0ken")),
        ..peer.settings()
    };
    let client = Client::new(settings).unwrap();
    client.delete("api/keys/1").await.unwrap();
    let nothing: Option<u8> = client.get_json("/x").await.unwrap();
    assert_eq!(nothing, None);
    let seen = peer.seen();
    assert!(
        seen[0].head.starts_with("DELETE /shoal/api/keys/1 "),
        "{}",
        seen[0].head
    );
    assert_eq!(seen[0].header("authorization"), Some("Bearer t0ken"));
}

#[tokio::test]
async fn long_bodies_are_packed_and_short_ones_are_not() {
    let long = vec![b'a'; 5000];
    for (compression, encoding) in [
        (Compression::None, None),
        (Compression::Gzip, Some("gzip")),
        (Compression::Zstd, Some("zstd")),
    ] {
        let peer = Peer::new([answer("200 OK", "", "")]).await;
        let client = Client::new(ClientSettings {
            compression,
            ..peer.settings()
        })
        .unwrap();
        for body in [&long[..], b"short"] {
            let request = Request::new(Method::PUT, "/x").with_body("application/octet-stream", body.to_vec());
            client.send(request, &CancellationToken::new()).await.unwrap();
        }
        let seen = peer.seen();
        assert_eq!(seen[0].header("content-encoding"), encoding);
        let mut unpacked = Vec::new();
        match compression {
            Compression::None => unpacked.clone_from(&seen[0].body),
            Compression::Gzip => drop(
                flate2::read::GzDecoder::new(&seen[0].body[..])
                    .read_to_end(&mut unpacked)
                    .unwrap(),
            ),
            Compression::Zstd => unpacked = zstd::decode_all(&seen[0].body[..]).unwrap(),
        }
        assert_eq!(unpacked, long);
        assert_eq!(
            (seen[1].header("content-encoding"), &seen[1].body[..]),
            (None, &b"short"[..])
        );
    }
}

#[tokio::test]
async fn trouble_that_passes_is_sat_out() {
    let turns = [
        answer("500 Internal Server Error", "", ""),
        answer("429 Too Many Requests", "retry-after: 0\r\n", ""),
        Turn::Close,
        Turn::Say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut".to_owned()),
        answer("200 OK", "", "5"),
    ];
    let peer = Peer::new(turns).await;
    let observed = Arc::new(Mutex::new(Vec::<Observation>::new()));
    let into = Arc::clone(&observed);
    let settings = ClientSettings {
        observe: Some(Arc::new(move |observation: &Observation| {
            into.lock().unwrap().push(observation.clone())
        })),
        ..peer.settings()
    };
    let client = Client::new(settings).unwrap();
    let five: u8 = client.post_json("/x?secret=1", &1, repeatable()).await.unwrap();
    assert_eq!((five, peer.seen().len()), (5, 5));
    let stats = client.stats();
    assert_eq!((stats.requests_ok, stats.requests_failed, stats.retries), (1, 0, 4));
    assert!(stats.last_success.is_some() && stats.last_error.is_none());
    let observed = observed.lock().unwrap();
    assert_eq!(observed.len(), 1, "one request, however many attempts");
    assert_eq!(
        (observed[0].path.as_str(), observed[0].ok, observed[0].retries),
        ("/x", true, 4)
    );
}

#[tokio::test]
async fn what_might_be_done_twice_is_not_repeated() {
    let peer = Peer::new([answer("503 Service Unavailable", "", ""), answer("200 OK", "", "1")]).await;
    let error = peer
        .client()
        .post_json::<_, u8>("/x", &1, HeaderMap::new())
        .await
        .unwrap_err();
    assert_eq!((error.status().unwrap().as_u16(), peer.seen().len()), (503, 1));
    assert!(error.is_temporary());
}

#[tokio::test]
async fn retries_end_and_the_last_answer_is_told() {
    let problem = r#"{"code":"maintenance","title":"Maintenance","detail":"back at noon","status":503}"#;
    let headers = "content-type: application/problem+json; charset=utf-8\r\nretry-after: 0\r\n";
    let peer = Peer::new([answer("503 Service Unavailable", headers, problem)]).await;
    let settings = ClientSettings {
        retry_attempts: 2,
        ..peer.settings()
    };
    let client = Client::new(settings).unwrap();
    let error = client.get_json::<u8>("/x").await.unwrap_err();
    assert_eq!(peer.seen().len(), 3, "the first and two retries");
    let wanted = format!(
        "http://{}/x failed (503 Service Unavailable): Maintenance: back at noon (maintenance)",
        peer.address
    );
    assert_eq!(error.to_string(), wanted);
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
    assert_eq!(client.stats().last_error, Some(wanted));
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_cut_to_the_longest() {
    let peer = Peer::new([
        answer("429 Too Many Requests", "retry-after: 99999\r\n", ""),
        answer("200 OK", "", "1"),
    ])
    .await;
    let settings = ClientSettings {
        retry_after_max: Duration::from_millis(1),
        ..peer.settings()
    };
    assert_eq!(Client::new(settings).unwrap().get_json::<u8>("/x").await.unwrap(), 1);
}

#[tokio::test]
async fn a_wait_ends_when_the_caller_stops() {
    let peer = Peer::new([answer("429 Too Many Requests", "retry-after: 200\r\n", "")]).await;
    let client = peer.client();
    let stop = CancellationToken::new();
    let observed = stop.clone();
    let watch = async {
        while peer.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        observed.cancel();
    };
    let (outcome, ()) = tokio::join!(client.send(Request::new(Method::GET, "/x"), &stop), watch);
    assert!(matches!(outcome, Err(SendError::Cancelled { .. })), "{outcome:?}");
    assert_eq!(
        client.stats().requests_failed,
        0,
        "giving up is no failure of the server"
    );
}

#[tokio::test]
async fn no_more_than_so_many_at_once() {
    let peer = Peer::new([Turn::Hang]).await;
    let settings = ClientSettings {
        max_parallel: 2,
        retry_attempts: 0,
        timeout: Duration::from_millis(100),
        ..peer.settings()
    };
    let client = Client::new(settings).unwrap();
    let (a, b, c) = tokio::join!(client.delete("/1"), client.delete("/2"), async {
        // The first two hold both places until they time out, so this one is seen only after an outcome.
        let outcome = client.delete("/3").await;
        (outcome, client.stats().requests_failed)
    });
    assert!(a.is_err() && b.is_err());
    assert_eq!((c.1, peer.seen().len()), (3, 3));
    let third = peer
        .seen()
        .iter()
        .position(|seen| seen.head.starts_with("DELETE /3"))
        .unwrap();
    assert_eq!(third, 2);
}

#[tokio::test]
async fn a_path_leads_to_no_other_server() {
    let peer = Peer::new([answer("200 OK", "", "1")]).await;
    let client = peer.client();
    for path in ["//evil.example/x", "@evil.example", ":99/x", "https://evil.example/"] {
        // Whatever such a path means, it is asked of this server.
        client.get_json::<u8>(path).await.unwrap();
    }
    assert_eq!(peer.seen().len(), 4);
}
