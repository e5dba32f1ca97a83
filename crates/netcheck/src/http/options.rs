//! What is asked for, and what is expected.
use super::expect::{BodyCheck, HeaderCheck, StatusRange};
use crate::{
    Failure, FailureKind, Family,
    tls::{EXPIRES_WITHIN, SessionOptions},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method,
    body::Bytes,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What tells who asks.
pub(crate) const SECRETS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum HttpVersion {
    /// HTTP/2 where the server agrees to it by TLS (ALPN), and HTTP/1.1 where it does not, or without TLS.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone; without TLS it is spoken without asking ("prior knowledge", RFC 9113 section 3.3).
    Http2,
}

/// What is asked for, and what is expected.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// GET by default.
    pub method: Method,
    /// Sent beside `host`, `user-agent`, `accept` and `connection`, and instead of those where they have the same name.
    /// Those that tell who asks (`authorization`, `cookie`, `proxy-authorization`) are not sent on to another place by
    /// a redirect.
    pub headers: HeaderMap,
    /// The body of the request; empty by default.
    pub body: Bytes,
    /// Which version of HTTP is spoken.
    pub version: HttpVersion,
    /// Which addresses of the host serve.
    pub family: Family,
    /// The address of this machine from which connections begin; the one that its routes choose unless one is named. Only addresses of
    /// the same family are asked then.
    pub source: Option<IpAddr>,
    /// Connect here instead of to the host of the URL, which is still asked for by its name (`host`, SNI). It holds for
    /// that host and port alone, not for another one to which a redirect leads.
    pub connect_to: Option<SocketAddr>,
    /// How long the whole check may take, with all redirects; 10 s by default, more than none, to an hour.
    pub timeout: Duration,
    /// How long each name may take; by default as long as there is.
    pub dns_timeout: Option<Duration>,
    /// How long each connection may take; by default as long as there is.
    pub connect_timeout: Option<Duration>,
    /// How long each TLS handshake may take; by default as long as there is.
    pub handshake_timeout: Option<Duration>,
    /// How long each answer may take to begin after it was asked for; by default as long as there is.
    pub first_byte_timeout: Option<Duration>,
    /// So many redirects are followed; 10 by default. Zero: a redirect is the answer, and its status is looked at.
    pub max_redirects: usize,
    /// Whether a redirect from https to http is followed; false by default.
    pub allow_downgrade: bool,
    /// No more bytes of the body are read; 1 MiB by default. A longer one is a failure only where a check needs the
    /// rest.
    pub max_body: usize,
    /// The head of an answer may have so many bytes; 64 KiB by default. In HTTP/2 each field counts 32 bytes more (RFC 9113,
    /// section 6.5.2).
    pub max_head: usize,
    /// The status has to be among these; 200 to 299 by default. None: any will do.
    pub expected_status: Vec<StatusRange>,
    /// What the headers of the answer have to be.
    pub header_checks: Vec<HeaderCheck>,
    /// What the body of the answer has to be.
    pub body_checks: Vec<BodyCheck>,
    /// How a session of TLS is opened, and who is trusted. The `server_name` and the `identity` in it are for the host
    /// of the URL alone, not for another one to which a redirect leads.
    pub tls: SessionOptions,
    /// As long the certificates that are needed have to hold on; one that ends sooner is a failure, and the server is
    /// asked all the same. 14 days by default, as where TLS alone is checked; zero: until now.
    pub expires_within: Duration,
    /// Whether a server is asked whose certificate is not to be trusted, and that is no failure; false by default. What
    /// is wrong with the certificate is in the report all the same. One that has ended, or ends sooner than
    /// `expires_within`, stays a failure unless that is zero.
    pub accept_invalid_certificates: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            version: HttpVersion::default(),
            family: Family::default(),
            source: None,
            connect_to: None,
            timeout: Duration::from_secs(10),
            dns_timeout: None,
            connect_timeout: None,
            handshake_timeout: None,
            first_byte_timeout: None,
            max_redirects: 10,
            allow_downgrade: false,
            max_body: 1024 * 1024,
            max_head: 64 * 1024,
            expected_status: vec![StatusRange::SUCCESS],
            header_checks: Vec::new(),
            body_checks: Vec::new(),
            tls: SessionOptions::default(),
            expires_within: EXPIRES_WITHIN,
            accept_invalid_certificates: false,
        }
    }
}

impl HttpOptions {
    /// Adds a header to those that are sent.
    ///
    /// # Errors
    /// When name or value is none.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let invalid = |what: &str| Failure::new(FailureKind::Invalid, format!("{what} cannot be that of a header"));
        let name: HeaderName = name.parse().map_err(|_| invalid(&format!("the name {name:?}")))?;
        let mut value: HeaderValue = value.parse().map_err(|_| invalid(&format!("the value of `{name}`")))?;
        value.set_sensitive(SECRETS.contains(&name));
        self.headers.append(name, value);
        Ok(())
    }

    /// Says who asks by a name and a password (RFC 7617).
    pub fn set_basic_auth(&mut self, user: &str, password: &str) {
        self.headers
            .insert(AUTHORIZATION, basic(format!("{user}:{password}").as_bytes()));
    }

    /// Says who asks by a token (RFC 6750).
    ///
    /// # Errors
    /// When there is a character in it that no header may have.
    pub fn set_bearer_auth(&mut self, token: &str) -> Result<(), Failure> {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value =
            value.map_err(|_| Failure::new(FailureKind::Invalid, "the token cannot be that of a header"))?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

/// The value of the header `authorization`, which is not shown by `Debug`.
pub(crate) fn basic(credentials: &[u8]) -> HeaderValue {
    let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)));
    // Base64 has no character that a header may not have.
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_and_not_shown() {
        let mut options = HttpOptions::default();
        options.set_basic_auth("Aladdin", "open sesame");
        // The example of RFC 7617.
        assert_eq!(options.headers["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{options:?}").contains("QWxh"));
        options.add_header("Cookie", "abc").unwrap();
        options.set_bearer_auth("abc").unwrap();
        assert_eq!(options.headers["authorization"], "Bearer abc");
        assert!(!format!("{options:?}").contains("abc"));
    }

    #[test]
    fn a_header_with_a_line_break_is_refused() {
        let mut options = HttpOptions::default();
        assert!(options.add_header("x-a", "1\r\nx-b: 2").is_err() && options.add_header("x a", "1").is_err());
        assert!(options.set_bearer_auth("a\nb").is_err());
        options.add_header("x-a", "1").unwrap();
        assert_eq!(options.headers.len(), 1);
    }
}
