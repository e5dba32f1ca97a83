//! Entry points for fuzzers: what a server says. None may panic, whatever the bytes.
use crate::{Problem, Response, StatusCode, retry_after};
use bytes::Bytes;
use chrono::DateTime;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// The value of a `Retry-After`.
pub fn retry_after(data: &[u8]) {
    let longest = Duration::from_secs(300);
    let wait = retry_after::parse(&String::from_utf8_lossy(data), DateTime::UNIX_EPOCH, longest);
    assert!(wait.unwrap_or_default() <= longest, "a wait is longer than allowed");
}

/// The body of a refusal.
pub fn problem(data: &[u8]) {
    if let Some(problem) = Problem::read(data, StatusCode::NOT_FOUND) {
        assert!(problem != Problem::default(), "a problem says something");
        drop(problem.to_string());
    }
}

/// An answer of success with this body.
pub fn response(body: &[u8]) -> Response {
    Response {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body),
        endpoint: "http://127.0.0.1/fuzzed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(data: Vec<u8>) {
            retry_after(&data);
            problem(&data);
        }
    }
}
