//! Why a batch did not arrive, and what follows from it. Pure.
use core_model::Secret;
use std::time::Duration;
use transport_http::{SendError, StatusCode};

/// Why a batch did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// The error with its causes, without a secret.
    pub(super) text: String,
    /// When the receiver wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The receiver will never take this batch: it is dropped and counted.
    Final,
    /// The receiver may be at fault, or this batch: it is dropped and counted if others arrive.
    Doubtful,
    /// Nothing was sent, because the receiver failed too often of late.
    LeftAlone,
    /// It may succeed later.
    Temporary,
    /// It will succeed when a person has put the settings right.
    Misconfigured,
    /// It was given up at the caller's wish.
    Cancelled,
}

pub(super) fn of_http(error: SendError, secrets: &[Secret]) -> Failure {
    Failure {
        kind: kind_of_http(&error),
        retry_after: error.retry_after(),
        text: text(error, secrets),
    }
}

#[cfg(feature = "otlp-grpc")]
pub(super) fn of_grpc(error: telemetry_otel::GrpcError, secrets: &[Secret]) -> Failure {
    let kind = match (error.is_final(), error.is_misconfigured()) {
        (true, _) => Kind::Final,
        (false, true) => Kind::Misconfigured,
        (false, false) => Kind::Temporary,
    };
    Failure {
        kind,
        retry_after: None,
        text: text(error, secrets),
    }
}

/// Given up at the caller's wish.
#[cfg(feature = "otlp-grpc")]
pub(super) fn cancelled() -> Failure {
    Failure {
        kind: Kind::Cancelled,
        text: String::new(),
        retry_after: None,
    }
}

fn kind_of_http(error: &SendError) -> Kind {
    match error {
        SendError::Cancelled { .. } => Kind::Cancelled,
        SendError::BreakerOpen { .. } => Kind::LeftAlone,
        SendError::Refused { status, .. } => match status.as_u16() {
            401 | 403 | 404 | 405 | 407 => Kind::Misconfigured,
            408 | 425 | 429 => Kind::Temporary,
            _ => Kind::Final,
        },
        SendError::Failed { status, .. } if *status == StatusCode::INTERNAL_SERVER_ERROR => Kind::Doubtful,
        SendError::Failed { status, .. } if *status == StatusCode::NOT_IMPLEMENTED => Kind::Misconfigured,
        SendError::Redirected { .. } | SendError::Certificate { .. } | SendError::NotHttp { .. } => Kind::Misconfigured,
        _ => Kind::Temporary,
    }
}

/// The error with its causes. A receiver may well repeat the key it was shown.
fn text(error: impl Into<anyhow::Error>, secrets: &[Secret]) -> String {
    masked(format!("{:#}", error.into()), secrets)
}

/// `text` with stars for each of `secrets`, and for the word after a scheme such as `Bearer` in them.
pub(super) fn masked(mut text: String, secrets: &[Secret]) -> String {
    for secret in secrets.iter().map(Secret::reveal) {
        for part in [secret, secret.rsplit(' ').next().unwrap_or_default()] {
            // Shorter ones are no secrets, and stand in every other text.
            if part.len() >= 4 {
                text = text.replace(part, "***");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> SendError {
        let (endpoint, status) = (String::new(), StatusCode::from_u16(status).unwrap());
        if status.is_client_error() {
            SendError::Refused {
                endpoint,
                status,
                problem: None,
                retry_after: None,
            }
        } else {
            SendError::Failed {
                endpoint,
                status,
                problem: None,
                retry_after: None,
            }
        }
    }

    #[test]
    fn only_what_the_receiver_will_never_take_is_given_up() {
        for (status, kind) in [
            (400, Kind::Final),
            (413, Kind::Final),
            (415, Kind::Final),
            (401, Kind::Misconfigured),
            (404, Kind::Misconfigured),
            (429, Kind::Temporary),
            (408, Kind::Temporary),
            (500, Kind::Doubtful),
            (501, Kind::Misconfigured),
            (502, Kind::Temporary),
            (503, Kind::Temporary),
            (504, Kind::Temporary),
        ] {
            assert_eq!(kind_of_http(&refused(status)), kind, "{status}");
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_masked() {
        let secrets = [Secret::new("Bearer hunter2"), Secret::new(""), Secret::new("key")];
        let said = masked("no such key: hunter2 (Bearer hunter2)".to_owned(), &secrets);
        assert_eq!(said, "no such key: *** (***)");
    }
}
