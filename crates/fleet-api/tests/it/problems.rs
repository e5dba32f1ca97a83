//! Every error is a problem that says what and where.
use crate::fixture::{App, As, request};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use fleet_api::ApiSettings;
use fleet_core::FleetSettings;
use serde_json::json;

#[tokio::test]
async fn errors_are_problems() {
    let app = App::new().await;
    let operator = app.operator().await;
    let tokens = "/api/v1/join-tokens";
    let raw = |body: &str| request(Method::POST, tokens, &operator, Some(body.to_owned()));
    let plain = {
        let mut request = raw("{}");
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        request
    };
    let untyped = {
        let mut request = raw("{}");
        request.headers_mut().remove(header::CONTENT_TYPE);
        request
    };
    let get = |path: &str| request(Method::GET, path, &operator, None);
    let delete = |path: &str| request(Method::DELETE, path, &operator, None);
    let cases: Vec<(Request<Body>, u16, &str, &str)> = vec![
        (get("/nowhere"), 404, "not_found", "`/nowhere`"),
        (get("/api/v1/auth/login"), 405, "method_not_allowed", "GET"),
        (delete("/api/v1/agents"), 405, "method_not_allowed", "DELETE"),
        (raw("{\"name\":\n  oops}"), 400, "invalid_json", "line 2 column 3"),
        (raw(""), 400, "invalid_json", "line 1 column 0"),
        (raw("{\"max_uses\": \"one\"}"), 422, "invalid_body", "line 1 column"),
        (
            raw("{\"max_users\": 1}"),
            422,
            "invalid_body",
            "unknown field `max_users`",
        ),
        (raw("{\"max_uses\": 0}"), 422, "invalid_body", "uses"),
        (plain, 415, "unsupported_media_type", "application/json"),
        (untyped, 415, "unsupported_media_type", "application/json"),
        (
            get("/api/v1/agents?colour=red"),
            400,
            "invalid_query",
            "unknown field `colour`",
        ),
        (get("/api/v1/agents?status=sleepy"), 400, "invalid_query", "sleepy"),
        (get("/api/v1/agents?limit=0"), 400, "invalid_limit", "1 to 1000"),
        (get("/api/v1/agents?cursor=%3F"), 400, "invalid_cursor", "next_cursor"),
        (get("/api/v1/files"), 400, "invalid_query", "agent"),
        (get("/api/v1/files?agent=nobody"), 404, "agent_not_found", "`nobody`"),
        (
            get("/api/v1/files?agent=a&prefix_raw=%3F"),
            400,
            "invalid_query",
            "base64",
        ),
        (get("/api/v1/files/entry?agent=a"), 400, "invalid_query", "path"),
        (get("/api/v1/agents/nobody"), 404, "agent_not_found", "`nobody`"),
        (get("/api/v1/agents/%ff"), 400, "invalid_address", "UTF-8"),
        (delete("/api/v1/agents/nobody"), 404, "agent_not_found", "`nobody`"),
        (delete("/api/v1/join-tokens/7"), 404, "join_token_not_found", "`7`"),
    ];
    for (request, status, code, detail) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = app.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{what}: {}",
            answer.text
        );
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(detail),
            "{what}: {}",
            answer.text
        );
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn a_body_too_long_is_a_problem_too() {
    let settings = ApiSettings {
        max_body: 1000,
        ..ApiSettings::default()
    };
    let app = App::with(FleetSettings::default(), settings).await;
    let login = |length: usize| json!({"username": "x".repeat(length), "password": "p"});
    let answer = app.post("/api/v1/auth/login", &As::Nobody, login(1001)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
    );
    let answer = app.post("/api/v1/auth/login", &As::Nobody, login(500)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
