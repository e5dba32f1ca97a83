//! One request and its answer, as callers see them.
use crate::SendError;
use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName},
};
use serde::de::DeserializeOwned;

/// Makes a POST repeatable: a server that saw the key before answers as it did then.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Appended to the server's address; may end with a query.
    pub path: String,
    /// Empty for none.
    pub body: Bytes,
    /// The media type of the body; unused where there is none.
    pub content_type: &'static str,
    /// Further headers. Those for authentication are the client's own matter.
    pub headers: HeaderMap,
    /// Whether sending it twice does no harm. Only then is it sent again after a failure.
    pub idempotent: bool,
}

impl Request {
    /// A request without a body. GET, HEAD, PUT, DELETE and OPTIONS may be repeated.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            idempotent: method.is_idempotent(),
            method,
            path: path.into(),
            body: Bytes::new(),
            content_type: "application/json",
            headers: HeaderMap::new(),
        }
    }

    /// With a body of `content_type`.
    pub fn with_body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.content_type = content_type;
        self
    }

    /// With `headers`. An `Idempotency-Key` among them makes it repeatable.
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.idempotent |= headers.contains_key(IDEMPOTENCY_KEY);
        self.headers = headers;
        self
    }

    /// May be repeated, whatever its method.
    pub fn repeatable(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

/// A complete answer with a status of success (2xx) or 304.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked.
    pub body: Bytes,
    pub(crate) endpoint: String,
}

impl Response {
    /// The body read as JSON. An empty body reads as `null`, so `()` and `Option` take it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, SendError> {
        let text: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(text).map_err(|source| SendError::NotJson {
            endpoint: self.endpoint.clone(),
            source,
        })
    }
}
