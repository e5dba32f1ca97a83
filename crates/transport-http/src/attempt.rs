//! One attempt at a request: send, read the answer within bounds, and say what became of it.
use crate::{CertificateFault, Problem, Response, SendError, retry_after};
use bytes::{Bytes, BytesMut};
use chrono::Utc;
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use std::{error::Error, io, time::Duration};
use url::Url;

/// The longest explanation of an error that is read.
const MAX_PROBLEM: u64 = 64 << 10;

/// What an attempt needs to know besides the request itself.
pub(crate) struct Bounds<'a> {
    /// Scheme, host and port, and the proxy on the way there.
    pub(crate) server: &'a str,
    /// Server and path.
    pub(crate) endpoint: &'a str,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_response: u64,
    pub(crate) retry_after_max: Duration,
}

impl Bounds<'_> {
    /// Sends `request` and reads the whole answer within the time allowed.
    pub(crate) async fn attempt(&self, request: reqwest::RequestBuilder) -> Result<Response, SendError> {
        let exchange = async {
            let answer = request.send().await.map_err(|error| self.broken(error))?;
            self.judge(answer).await
        };
        let timed_out = |_| SendError::Timeout {
            endpoint: self.endpoint.to_owned(),
            after: self.timeout,
        };
        tokio::time::timeout(self.timeout, exchange).await.map_err(timed_out)?
    }

    async fn judge(&self, answer: reqwest::Response) -> Result<Response, SendError> {
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            let headers = answer.headers().clone();
            let body = self.read(answer, self.max_response).await?;
            return Ok(Response {
                status,
                headers,
                body,
                endpoint: self.endpoint.to_owned(),
            });
        }
        Err(self.refusal(answer).await)
    }

    /// What an answer that is not the one wanted says.
    pub(crate) async fn refusal(&self, answer: reqwest::Response) -> SendError {
        let status = answer.status();
        let endpoint = self.endpoint.to_owned();
        if status.is_redirection() {
            let target = target(&answer);
            return SendError::Redirected {
                endpoint,
                status,
                target,
            };
        }
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = asked.and_then(|text| retry_after::parse(text, Utc::now(), self.retry_after_max));
        let problem = self.problem(answer).await;
        if status.is_client_error() {
            SendError::Refused {
                endpoint,
                status,
                problem,
                retry_after,
            }
        } else {
            SendError::Failed {
                endpoint,
                status,
                problem,
                retry_after,
            }
        }
    }

    async fn read(&self, mut answer: reqwest::Response, limit: u64) -> Result<Bytes, SendError> {
        let too_large = || SendError::TooLarge {
            endpoint: self.endpoint.to_owned(),
            limit,
        };
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        let stalled = |_| SendError::Stalled {
            endpoint: self.endpoint.to_owned(),
            after: self.idle_timeout,
        };
        while let Some(chunk) = tokio::time::timeout(self.idle_timeout, answer.chunk())
            .await
            .map_err(stalled)?
            .map_err(|error| self.broken(error))?
        {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The server's explanation, if it is one we can read. That it is missing or cut is no news beside the status.
    async fn problem(&self, answer: reqwest::Response) -> Option<Problem> {
        if !is_json(answer.headers()) {
            return None;
        }
        let status = answer.status();
        Problem::read(&self.read(answer, MAX_PROBLEM).await.ok()?, status)
    }

    /// Names what broke. The address is dropped from the library's error because our own message says it.
    pub(crate) fn broken(&self, error: reqwest::Error) -> SendError {
        let source = error.without_url();
        let (server, endpoint) = (self.server.to_owned(), self.endpoint.to_owned());
        let fault = find(&source, |cause| cause.downcast_ref().map(CertificateFault::of));
        if let Some(fault) = fault {
            SendError::Certificate { server, fault, source }
        } else if source.is_connect() && source.is_timeout() {
            SendError::ConnectTimeout {
                server,
                after: self.connect_timeout,
            }
        } else if source.is_connect() {
            SendError::Connect { server, source }
        } else if find(&source, |cause| cause.downcast_ref().map(hyper::Error::is_parse)) == Some(true) {
            SendError::NotHttp { endpoint, source }
        } else {
            SendError::Interrupted { endpoint, source }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/problem+json") || media_type.eq_ignore_ascii_case("application/json")
}

/// Where a redirect leads: the place only, because its path and query are not ours to show.
fn target(answer: &reqwest::Response) -> String {
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    match location.map(|location| answer.url().join(location)) {
        Some(Ok(url)) => describe(&url, answer.url()),
        Some(Err(_)) => "something that is no address".to_owned(),
        None => "nowhere".to_owned(),
    }
}

fn describe(target: &Url, asked: &Url) -> String {
    if target.origin() == asked.origin() {
        format!("another path of the same server, {}", target.path())
    } else {
        crate::settings::origin(target)
    }
}

/// The first thing that `look` finds among the causes of `error`.
fn find<T>(error: &reqwest::Error, look: impl Fn(&(dyn Error + 'static)) -> Option<T>) -> Option<T> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        // `io::Error` hides what it wraps from `source`, and TLS errors come wrapped in it.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = look(error).or_else(|| wrapped.and_then(|inner| look(inner))) {
            return Some(found);
        }
        cause = wrapped.map_or_else(|| error.source(), |inner| Some(inner));
    }
    None
}
