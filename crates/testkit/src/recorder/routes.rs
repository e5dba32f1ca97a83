//! The recorder's routes, as the controller has them.
use super::{Shared, book::Untaken, wire::Ingest};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tower_http::decompression::RequestDecompressionLayer;

#[derive(Clone)]
struct App {
    shared: Arc<Shared>,
    /// The names of those who enrolled, by their keys.
    names: Arc<Mutex<HashMap<String, String>>>,
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let app = App {
        shared,
        names: Arc::default(),
    };
    Router::new()
        .route("/api/v1/ingest", post(ingest))
        .route("/api/v1/agents/enroll", post(enroll))
        .route("/api/v1/agents/me/heartbeat", post(heartbeat))
        .route("/health", get(healthy))
        .route("/health/live", get(healthy))
        .route("/health/ready", get(healthy))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestDecompressionLayer::new())
        .with_state(app)
}

async fn healthy() -> Response {
    json_response(StatusCode::OK, &json!({"status": "healthy"}))
}

async fn ingest(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(agent) = app.agent(&headers) else {
        return problem(StatusCode::UNAUTHORIZED, "unknown_key", "there is no `X-API-KEY`");
    };
    let request: Ingest<'_> = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "invalid_request", &error.to_string()),
    };
    match app.shared.change(|book| book.take(&agent, &request)) {
        Ok(last) => json_response(StatusCode::OK, &json!({ "accepted_through": last })),
        Err(Untaken::SnapshotWanted) => problem(StatusCode::CONFLICT, "snapshot_wanted", "this stream is not known"),
        Err(Untaken::Invalid(why)) => problem(StatusCode::BAD_REQUEST, "invalid_request", why),
    }
}

async fn enroll(State(app): State<App>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(name) = request["name"].as_str() else {
        return problem(StatusCode::BAD_REQUEST, "invalid_request", "there is no `name`");
    };
    let mut names = app.names.lock().unwrap_or_else(PoisonError::into_inner);
    let number = names.len() + 1;
    let key = format!("recorder-key-{number}");
    names.insert(key.clone(), name.to_owned());
    json_response(
        StatusCode::CREATED,
        &json!({ "agent_id": agent_id(number), "api_key": key }),
    )
}

async fn heartbeat(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some(agent) = app.agent(&headers) else {
        return problem(StatusCode::UNAUTHORIZED, "unknown_key", "there is no `X-API-KEY`");
    };
    app.shared
        .change(|book| *book.heartbeats.entry(agent).or_default() += 1);
    StatusCode::NO_CONTENT.into_response()
}

impl App {
    fn agent(&self, headers: &HeaderMap) -> Option<String> {
        let key = headers.get("x-api-key")?.to_str().ok()?;
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Some(names.get(key).map_or_else(|| key.to_owned(), Clone::clone))
    }
}

/// A UUID of version 7: the time in milliseconds, and a number.
fn agent_id(number: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = now.as_millis() & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}-7000-8000-{number:012x}", millis >> 16, millis & 0xffff)
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let problem = json!({"status": status.as_u16(), "code": code, "title": "Not taken", "detail": detail});
    (
        status,
        [(CONTENT_TYPE, "application/problem+json")],
        problem.to_string(),
    )
        .into_response()
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
