//! Errors as the server tells them: RFC 9457, `application/problem+json`.
use axum::{
    Json,
    body::{self, Body},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Explanations that axum's extractors write are a line or two.
const MAX_PLAIN: usize = 4096;

#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    code: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

/// An error answer: `code` is stable and for programs, `title` and `detail` are for people; an empty `detail` is left
/// out.
pub fn problem_response(status: StatusCode, code: &str, title: &str, detail: &str) -> Response {
    let problem = Problem {
        status: status.as_u16(),
        code,
        title,
        detail,
    };
    let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))];
    (status, media_type, Json(problem)).into_response()
}

/// Makes problems of the bare errors that axum and its extractors answer: unknown route, wrong method, body too
/// long, body of another type. Errors that a handler wrote as JSON pass as they are.
pub(crate) async fn explain(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || !is_bare(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let said = body::to_bytes(body, MAX_PLAIN).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let detail = match status {
        StatusCode::NOT_FOUND if said.is_empty() => format!("there is nothing at `{path}`"),
        StatusCode::METHOD_NOT_ALLOWED if said.is_empty() => format!("`{path}` does not take {method}"),
        _ => said.trim().to_owned(),
    };
    let title = status.canonical_reason().unwrap_or("Error");
    let code = title.to_ascii_lowercase().replace([' ', '-'], "_").replace('\'', "");
    let (told, body) = problem_response(status, &code, title, &detail).into_parts();
    let stale = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING];
    stale
        .iter()
        .for_each(|name: &HeaderName| drop(parts.headers.remove(name)));
    parts.headers.extend(told.headers);
    Response::from_parts(parts, Body::new(body))
}

fn is_bare(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}
