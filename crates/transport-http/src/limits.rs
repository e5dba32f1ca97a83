//! What the server does around every request, whatever its routes: bounds, unpacking, panics, errors as problems.
use crate::problem::{explain, problem_response};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};
use core_model::ByteSize;
use std::{any::Any, time::Duration};
use tower_http::{
    catch_panic::CatchPanicLayer, decompression::RequestDecompressionLayer, limit::RequestBodyLimitLayer,
};

/// What one peer may cost. The defaults suit an agent and a controller of some thousand agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// For the TLS handshake, from the first moment of a connection.
    pub handshake_timeout: Duration,
    /// From the first moment of a connection, from the end of the handshake, or from the last answer on it, to the end of a request's headers.
    pub header_timeout: Duration,
    /// From the headers to the beginning of the answer; reading the body is part of it.
    pub request_timeout: Duration,
    /// The longest body, unpacked. As sent it may be an eighth longer, for what packing adds at worst.
    pub max_body: ByteSize,
    /// Connections open at once; more wait to be accepted.
    pub max_connections: usize,
}

impl Default for ServerLimits {
    /// 10 s for the handshake, 30 s for headers, 60 s for a request, 8 MB of body, 10,000 connections.
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            max_body: ByteSize::new(8 << 20),
            max_connections: 10_000,
        }
    }
}

impl ServerLimits {
    /// Puts the bounds around `router`. What is written last is met first by a request.
    pub(crate) fn around(self, router: Router) -> Router {
        let max_body = usize::try_from(self.max_body.bytes()).unwrap_or(usize::MAX);
        // Packing makes a body longer by less than this; what is longer still is padding that unpacks to nothing. It is
        // above the other bound so that a plain body meets that one, whose error axum's extractors know as 413.
        let max_sent = max_body.saturating_add(max_body / 8).saturating_add(64 << 10);
        // The router becomes the inside of another, so that unknown routes and wrong methods pass the layers too.
        Router::new()
            .fallback_service(router)
            // axum's own limit of 2 MB would hide ours, which counts what a packed body unpacks to.
            .layer(DefaultBodyLimit::disable())
            .layer(RequestBodyLimitLayer::new(max_body))
            .layer(RequestDecompressionLayer::new())
            .layer(RequestBodyLimitLayer::new(max_sent))
            .layer(middleware::from_fn_with_state(self.request_timeout, in_time))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(middleware::from_fn(explain))
    }
}

async fn in_time(State(allowed): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(allowed, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem_response(
            StatusCode::SERVICE_UNAVAILABLE,
            "request_timeout",
            "Took too long",
            &format!("the request was not done within {} s", allowed.as_secs_f64()),
        ),
    }
}

/// The panic's text goes to the log and never to the peer.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the payload")]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a request handler panicked");
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    problem_response(status, "internal_error", "Internal error", "the server's log says more")
}
