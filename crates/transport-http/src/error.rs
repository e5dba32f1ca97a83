//! What can go wrong with a request, told apart by what a caller or an administrator can do about it.
use crate::CertificateFault;
use reqwest::StatusCode;
use serde::Deserialize;
use std::{fmt, time::Duration};

/// The server's own words about a refusal (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// A stable name for programs, such as `name_taken`; empty if the server gave none.
    #[serde(default)]
    pub code: String,
    /// The kind of problem in a few words.
    #[serde(default)]
    pub title: String,
    /// What is wrong this time.
    #[serde(default)]
    pub detail: String,
}

impl Problem {
    /// What the body of an answer with this status says; `None` when it says nothing of the kind. A title that only says
    /// what the status says is left out.
    pub(crate) fn read(body: &[u8], status: StatusCode) -> Option<Self> {
        let mut problem: Self = serde_json::from_slice(body).ok()?;
        if status.canonical_reason() == Some(&problem.title) {
            problem.title.clear();
        }
        (problem != Self::default()).then_some(problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = [&self.title, &self.detail].into_iter().filter(|text| !text.is_empty());
        let said: Vec<&str> = said.map(String::as_str).collect();
        match (said.is_empty(), self.code.is_empty()) {
            (true, _) => f.write_str(&self.code),
            (false, true) => f.write_str(&said.join(": ")),
            (false, false) => write!(f, "{} ({})", said.join(": "), self.code),
        }
    }
}

/// Why a request has no proper answer. No variant carries a key or a token.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The caller stopped it.
    #[error("the request to {endpoint} was cancelled")]
    Cancelled {
        /// Server and path.
        endpoint: String,
    },
    /// Not sent: the server failed too often of late.
    #[error("{server} failed too often and is left alone for another {} s", retry_in.as_secs_f64().ceil())]
    BreakerOpen {
        /// Scheme, host and port.
        server: String,
        /// Until a request may try again.
        retry_in: Duration,
    },
    /// No connection.
    #[error("could not connect to {server}")]
    Connect {
        /// Scheme, host and port.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
    /// No connection in time.
    #[error("could not connect to {server} within {} s", after.as_secs_f64())]
    ConnectTimeout {
        /// Scheme, host and port.
        server: String,
        /// The time allowed.
        after: Duration,
    },
    /// No secure connection: the server's certificate is not trusted, is for another host or is out of date, the server
    /// does not accept the client's, or one of the two does not speak TLS.
    #[error("could not connect securely to {server}: {fault}")]
    Certificate {
        /// Scheme, host and port.
        server: String,
        /// What is wrong.
        fault: CertificateFault,
        /// Why.
        source: reqwest::Error,
    },
    /// Connected, but no complete answer in time.
    #[error("{endpoint} gave no complete answer within {} s", after.as_secs_f64())]
    Timeout {
        /// Server and path.
        endpoint: String,
        /// The time allowed.
        after: Duration,
    },
    /// An answer began and then paused for too long.
    #[error("{endpoint} began to answer and then said nothing for {} s", after.as_secs_f64())]
    Stalled {
        /// Server and path.
        endpoint: String,
        /// The longest pause allowed.
        after: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to {endpoint} broke before the answer was complete")]
    Interrupted {
        /// Server and path.
        endpoint: String,
        /// Why.
        source: reqwest::Error,
    },
    /// What answered does not speak HTTP.
    #[error("{endpoint} did not answer in HTTP: is it the right port, and does its address begin with `https://`?")]
    NotHttp {
        /// Server and path.
        endpoint: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer is longer than is read.
    #[error("the answer of {endpoint} is longer than {limit} bytes")]
    TooLarge {
        /// Server and path.
        endpoint: String,
        /// The longest that is read.
        limit: u64,
    },
    /// The answer is not the JSON that was expected.
    #[error("the answer of {endpoint} is not the JSON expected")]
    NotJson {
        /// Server and path.
        endpoint: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The server points elsewhere, where a key must not go by itself.
    #[error(
        "{endpoint} redirects ({status}) to {target}; redirects are not followed: if that is right, make it the server's address"
    )]
    Redirected {
        /// Server and path.
        endpoint: String,
        /// The status.
        status: StatusCode,
        /// Scheme, host and port of the target, or the server's own words where they are no address.
        target: String,
    },
    /// The server will not do it (4xx); asking again in the same way will not help.
    #[error("{endpoint} refused the request ({status}){}", reason(problem.as_ref()))]
    Refused {
        /// Server and path.
        endpoint: String,
        /// The status.
        status: StatusCode,
        /// The server's words, where it gave any.
        problem: Option<Problem>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The server could not do it (5xx), in the last of all attempts.
    #[error("{endpoint} failed ({status}){}", reason(problem.as_ref()))]
    Failed {
        /// Server and path.
        endpoint: String,
        /// The status.
        status: StatusCode,
        /// The server's words, where it gave any.
        problem: Option<Problem>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The value to send cannot be written as JSON.
    #[error("the request to {endpoint} could not be written as JSON")]
    Encode {
        /// Server and path.
        endpoint: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The body could not be packed.
    #[error("the body for {endpoint} could not be compressed")]
    Compress {
        /// Server and path.
        endpoint: String,
        /// Why.
        source: std::io::Error,
    },
    /// The path makes no address of the server.
    #[error("`{path}` cannot be asked of {server}")]
    Invalid {
        /// Scheme, host and port.
        server: String,
        /// The path as given.
        path: String,
    },
}

fn reason(problem: Option<&Problem>) -> String {
    problem.map(|problem| format!(": {problem}")).unwrap_or_default()
}

impl SendError {
    /// The status the server answered with, where it answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Redirected { status, .. } | Self::Refused { status, .. } | Self::Failed { status, .. } => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// The server's words, where it gave any.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } | Self::Failed { problem, .. } => problem.as_ref(),
            _ => None,
        }
    }

    /// Whether the same request may well succeed later: the server or the way to it is at fault, not the request.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::BreakerOpen { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Interrupted { .. } => true,
            Self::Refused { status, .. } | Self::Failed { status, .. } => is_temporary(*status),
            _ => false,
        }
    }

    /// When the server wants to be asked again, or the breaker permits it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_in, .. } => Some(*retry_in),
            Self::Refused { retry_after, .. } | Self::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether this speaks against the server as a whole: no answer, or 5xx.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Certificate { .. }
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Interrupted { .. }
            | Self::NotHttp { .. } => true,
            Self::Failed { status, .. } => status.is_server_error(),
            _ => false,
        }
    }
}

/// The statuses after which a repeatable request is sent again.
fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_what_it_has() {
        let problem = |code: &str, title: &str, detail: &str| {
            Problem {
                code: code.to_owned(),
                title: title.to_owned(),
                detail: detail.to_owned(),
            }
            .to_string()
        };
        assert_eq!(
            problem("name_taken", "Name taken", "`a` is another"),
            "Name taken: `a` is another (name_taken)"
        );
        assert_eq!(problem("", "", "only this"), "only this");
        assert_eq!(problem("a_code", "", ""), "a_code");
    }
}
