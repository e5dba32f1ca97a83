//! What came of a check.
use crate::{Failure, tls::TlsSession};
use hyper::HeaderMap;
use std::{net::SocketAddr, time::Duration};

/// The times of one request, each step apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HttpTimes {
    /// How long the name took; nothing for an address.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "dns_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub dns: Option<Duration>,
    /// How long the connection took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "connect_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub connect: Option<Duration>,
    /// How long the TLS handshake took, where there was one.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "tls_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub tls: Option<Duration>,
    /// How long the answer took to begin after it was asked for: its first byte in HTTP/1, its head in HTTP/2.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "first_byte_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub first_byte: Option<Duration>,
    /// How long the answer took from there to the last byte that was read.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "body_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub body: Option<Duration>,
    /// How long all of it took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "total_ms", serialize_with = "crate::millis::serialize")
    )]
    pub total: Duration,
}

/// One request whose answer sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Hop {
    /// What was asked for.
    pub url: String,
    /// What was answered.
    pub status: u16,
    /// The address that answered.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub times: HttpTimes,
}

/// What came of a check. Whatever is about one request is about the last one.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HttpReport {
    /// What was asked for in the end, without any password.
    pub url: String,
    /// By which method.
    pub method: String,
    /// The address that answered.
    pub address: Option<SocketAddr>,
    /// Such as `HTTP/1.1`.
    pub version: Option<&'static str>,
    /// What was answered.
    pub status: Option<u16>,
    /// The headers of the answer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_headers"))]
    pub headers: HeaderMap,
    /// The times of the last request.
    pub times: HttpTimes,
    /// The requests before it, in their order.
    pub redirects: Vec<Hop>,
    /// How long all of them took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "total_ms", serialize_with = "crate::millis::serialize")
    )]
    pub total: Duration,
    /// So many bytes of the body were read.
    pub body_bytes: u64,
    /// Whether there was more of it.
    pub body_is_cut: bool,
    /// The length of the body that the server named.
    pub content_length: Option<u64>,
    /// What the body begins with, where there is a failure.
    pub body_start: Option<String>,
    /// The session, where there is one, with its certificates.
    pub tls: Option<Box<TlsSession>>,
    /// Why there is no answer, or not the one that was expected.
    pub failure: Option<Failure>,
}

/// As a list of pairs: a name may come more than once.
#[cfg(feature = "serde")]
fn serialize_headers<S: serde::Serializer>(headers: &HeaderMap, to: S) -> Result<S::Ok, S::Error> {
    let shown = |value: &[u8]| crate::tls::plain::bytes(value, 64 * 1024);
    to.collect_seq(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), shown(value.as_bytes()))),
    )
}
