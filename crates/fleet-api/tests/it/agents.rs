//! What agents do, by way of the routes.
use crate::fixture::{App, As, enrollment, request};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const STREAM: &str = "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e";

pub(crate) fn batch(stream: &str, first: u64, records: &[(&str, Value)]) -> Value {
    let numbered: Vec<_> = (first..)
        .zip(records)
        .map(|(seq, (kind, body))| json!({"seq": seq, "kind": kind, "time": "2026-01-02T03:04:05Z", "body": body}))
        .collect();
    json!({"batch_id": STREAM, "stream": stream, "records": numbered})
}

pub(crate) fn file(path: &str, size: u64) -> Value {
    json!({"path": path, "type": "file", "size": size, "mtime": "2026-01-02T03:04:05.123456789Z", "mode": "0644"})
}

#[tokio::test]
async fn joining_is_refused_without_a_token_and_with_a_name_that_is_taken() {
    let app = App::new().await;
    let operator = app.operator().await;
    let token = app
        .post("/api/v1/join-tokens", &operator, json!({"max_uses": 2, "ttl_secs": 60}))
        .await
        .json();
    let enroll = async |token: &Value, name: &str| {
        app.post("/api/v1/agents/enroll", &As::Nobody, enrollment(token, name))
            .await
    };
    let token = &token["token"];
    let wrong = enroll(&json!("sj_nonsense"), "a").await;
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (StatusCode::UNAUTHORIZED, "unauthorized")
    );
    assert_eq!(enroll(token, "a").await.status, StatusCode::CREATED);
    let taken = enroll(token, "a").await;
    assert_eq!(
        (taken.status, taken.code().as_str()),
        (StatusCode::CONFLICT, "name_taken")
    );
    let unfit = enroll(token, "a\nb").await;
    assert_eq!(unfit.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(enroll(token, "b").await.status, StatusCode::CREATED);
    let used_up = enroll(token, "c").await;
    assert_eq!(used_up.text, wrong.text, "nobody learns why a token opens nothing");
}

#[tokio::test]
async fn records_are_taken_and_errors_told_as_agreed() {
    let app = App::new().await;
    let agent = app.agent(&app.operator().await, "a").await;
    let ingest = async |body: Value| app.post("/api/v1/ingest", &agent, body).await;
    let later = ingest(batch(STREAM, 5, &[("file.created", file("/a", 1))])).await;
    assert_eq!(
        (later.status, later.code().as_str()),
        (StatusCode::CONFLICT, "snapshot_wanted")
    );
    let answer = ingest(batch(
        STREAM,
        1,
        &[("file.created", file("/a", 1)), ("check.result", json!({}))],
    ))
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer: fleet_wire::IngestResponse = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(answer.accepted_through, 2);
    assert_eq!(
        (answer.rejected[0].seq, answer.rejected[0].code.as_str()),
        (2, "unknown_kind")
    );
    let mut gap = batch(
        STREAM,
        3,
        &[
            ("file.deleted", json!({"path": "/a"})),
            ("file.deleted", json!({"path": "/b"})),
        ],
    );
    gap["records"][1]["seq"] = json!(7);
    let gap = ingest(gap).await;
    assert_eq!(
        (gap.status, gap.code().as_str()),
        (StatusCode::BAD_REQUEST, "invalid_batch")
    );
    let many: Vec<_> = (0..5001).map(|_| ("file.deleted", json!({"path": "/a"}))).collect();
    let many = ingest(batch(STREAM, 3, &many)).await;
    assert_eq!(
        (many.status, many.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large")
    );
}

#[tokio::test]
async fn a_batch_of_the_document_is_dropped_when_it_is_repeated() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let send = async |key: &str, body: &Value| {
        let mut request = request(Method::POST, "/api/files/ingest", &agent, Some(body.to_string()));
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        app.send(request).await
    };
    let file = |path: &str| json!({"filename": "x", "fileType": "text/plain", "path": path, "size": 1});
    let both = json!({"files": [file("/a"), file("/b")]});
    let first = send("k1", &both).await;
    assert_eq!(
        (first.status, first.json()["accepted"].as_u64()),
        (StatusCode::OK, Some(2)),
        "{}",
        first.text
    );
    assert_eq!(
        send("k2", &json!({"deleted": [{"path": "/a"}]})).await.status,
        StatusCode::OK
    );
    assert_eq!(send("k1", &both).await.text, first.text);
    let gone = app.get("/api/v1/files/entry?agent=a&path=/a", &operator).await;
    assert_eq!(gone.json()["deleted"], true, "the repeat did not bring it back");
    let reused = send("k1", &json!({"files": []})).await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
    );
    for wrong in [
        json!({"files": [file("")]}),
        json!({"files": [{"filename": "x"}]}),
        json!({"files": 7}),
    ] {
        assert_eq!(
            send("k3", &wrong).await.status,
            StatusCode::BAD_REQUEST,
            "{wrong}: halving ends at a 400"
        );
    }
}

#[tokio::test]
async fn heartbeats_of_both_kinds_show_in_the_registry() {
    let app = App::new().await;
    let operator = app.operator().await;
    let agent = app.agent(&operator, "a").await;
    let status = async || app.get("/api/v1/agents/a", &operator).await.json();
    let beat = json!({"status": "degraded", "version": "0.3.0", "outbox_records": 5});
    let lost = json!({"stream": STREAM, "through": 3});
    let mut bereft = beat.clone();
    bereft["delivered"] = lost;
    for (told, is_wanted) in [(bereft, true), (beat, false)] {
        let answer = app.post("/api/v1/agents/me/heartbeat", &agent, told).await;
        assert_eq!(
            (answer.status, &answer.json()["snapshot_wanted"]),
            (StatusCode::OK, &json!(is_wanted))
        );
    }
    let seen = status().await;
    assert_eq!(
        (&seen["status"], &seen["version"]),
        (&json!("degraded"), &json!("0.3.0"))
    );
    assert_eq!(seen["health"]["outbox_records"], 5);
    let small =
        json!({"agentId": "a", "status": "healthy", "lastScanTime": "2024-01-15T10:30:00Z", "filesProcessed": 3});
    assert_eq!(
        app.post("/api/agents/heartbeat", &agent, small).await.status,
        StatusCode::OK
    );
    assert_eq!(status().await["status"], "online");
    let full = json!({"status": "error", "errorCount": 2, "memoryUsage": 1024});
    assert_eq!(
        app.post("/api/agents/heartbeat/a", &agent, full.clone()).await.status,
        StatusCode::OK
    );
    let seen = status().await;
    assert_eq!(
        (&seen["status"], &seen["health"]["memory_bytes"]),
        (&json!("degraded"), &json!(1024))
    );
    assert_eq!(
        app.post("/api/agents/heartbeat/b", &agent, full).await.status,
        StatusCode::FORBIDDEN
    );
    let register = |name: &str| json!({"agentId": name, "hostname": "h2", "version": "1", "scanPaths": ["/srv"]});
    assert_eq!(
        app.post("/api/agents/register", &agent, register("b")).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        app.post("/api/agents/register", &agent, register("a")).await.status,
        StatusCode::OK
    );
    let seen = status().await;
    assert_eq!(
        (&seen["hostname"], &seen["scan_paths"]),
        (&json!("h2"), &json!(["/srv"]))
    );
}
