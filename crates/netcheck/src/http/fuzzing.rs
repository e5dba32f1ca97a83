//! What fuzzers call: each takes any bytes, and must neither panic nor take long.
use super::{StatusRange, redirect};
use hyper::Method;

/// The URL of a target, and where an answer from there sends to: the text before the first line break, and that behind
/// it.
pub fn redirect(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (from, to) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let Ok(url) = redirect::target(&String::from_utf8_lossy(from)) else {
        return;
    };
    for status in [302, 303, 307] {
        if let Ok(step) = redirect::step(&url, &Method::POST, status, to, false) {
            assert!(step.url.username().is_empty() && step.url.password().is_none());
            assert!(
                url.scheme() == "http" || step.url.scheme() == "https",
                "the protection is kept"
            );
            assert!(!step.keeps_secrets || redirect::is_same_place(&url, &step.url));
        }
    }
}

/// The text of a range of status codes.
pub fn status(data: &[u8]) {
    if let Ok(range) = String::from_utf8_lossy(data).parse::<StatusRange>() {
        assert!(100 <= range.from && range.from <= range.to && range.to <= 999);
    }
}
