//! The routes that every product serves: health for people and orchestrators, metrics for Prometheus.
use crate::{HealthRegistry, Status};
use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::Utc;

/// Where the health routes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthOptions {
    /// The path of the document; `/live` and `/ready` are below it.
    pub health_path: String,
}

impl Default for HealthOptions {
    /// `/health`.
    fn default() -> Self {
        Self {
            health_path: "/health".to_owned(),
        }
    }
}

/// Three routes: the document (503 when unhealthy), `…/live` (200 for as long as the process answers), `…/ready` (503
/// until [`HealthRegistry::set_ready`]).
pub fn health_routes(registry: HealthRegistry, options: &HealthOptions) -> Router {
    let path = format!("/{}", options.health_path.trim_matches('/'));
    let below = path.trim_end_matches('/');
    let (live, ready) = (format!("{below}/live"), format!("{below}/ready"));
    let document = registry.clone();
    Router::new()
        .route(&path, get(async move || health(&document)))
        .route(&live, get(async || json(StatusCode::OK, r#"{"live":true}"#)))
        .route(&ready, get(async move || readiness(&registry)))
}

/// `/metrics`, rendered anew for each request.
pub fn metrics_route(render: impl Fn() -> String + Clone + Send + Sync + 'static) -> Router {
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4");
    Router::new().route(
        "/metrics",
        get(async move || ([(header::CONTENT_TYPE, media_type)], render())),
    )
}

fn health(registry: &HealthRegistry) -> Response {
    let (status, document) = registry.render(Utc::now());
    let status = match status {
        Status::Healthy | Status::Degraded => StatusCode::OK,
        Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, document)
}

fn readiness(registry: &HealthRegistry) -> Response {
    if registry.is_ready() {
        json(StatusCode::OK, r#"{"ready":true}"#)
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false}"#)
    }
}

fn json(status: StatusCode, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}
