//! What stops a round of delivery, and what only concerns one request.

use core_model::StreamId;
use daemon_kit::Dialect;
use std::time::Duration;
use transport_http::{Problem, SendError};

/// Why a round of delivery ended before the queue was empty. Nothing is lost: what was not answered for is still there.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The queue failed.
    #[error("could not {doing} the outbox")]
    Queue {
        /// `read`, `acknowledge in` or `count`.
        doing: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server cannot be reached, fails, or is left alone by the circuit breaker.
    #[error("the server is not available; the records wait in the outbox")]
    Unavailable(#[source] SendError),
    /// There is no secure way to the server, or what answers speaks no HTTP.
    #[error(
        "the server cannot be asked before its address or its certificate is put right; the records wait in the outbox"
    )]
    Untrusted(#[source] SendError),
    /// 401 or 403.
    #[error(
        "the server does not take this agent's key: it was revoked or is another server's; check `server.api_key`, or \
         enrol again with a new join token"
    )]
    Unauthorized(#[source] SendError),
    /// 409 `snapshot_wanted`: the server does not know this stream and cannot take it from the middle.
    #[error("the server does not know the stream {stream} of this agent and wants a full snapshot in a new one")]
    SnapshotWanted {
        /// The stream.
        stream: StreamId,
        /// What it said.
        source: SendError,
    },
    /// An answer that no right server gives to these records.
    #[error(
        "the server's answer makes no sense for an ingest of records: check `server.base_url` and `server.dialect`"
    )]
    Unexpected(#[source] SendError),
    /// The server answered with success and took nothing.
    #[error("the server took none of the records {first} to {last} and did not say why")]
    NothingTaken {
        /// The first record of the request.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Every record was refused, by failed requests, and not one was accepted: it is not the records.
    #[error(
        "the server refuses every record it is sent, the first with: {reason}; the {records} refused so far are kept: check \
         `server.base_url` and `server.dialect`"
    )]
    AllRefused {
        /// How many were refused one by one.
        records: usize,
        /// Why the first was.
        reason: String,
    },
    /// A task of a request died; a fault of this program.
    #[error("a request was lost inside this program")]
    Lost(#[source] tokio::task::JoinError),
}

impl DeliveryError {
    /// Whether a later round may well succeed with nobody doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Queue { .. } | Self::NothingTaken { .. } | Self::Lost(_)
        )
    }

    /// When the server wants to be asked again, or the circuit breaker permits it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// What a failed request means for the round.
pub(super) enum Failure {
    /// The caller gave it up.
    Stopped,
    /// The round is over.
    Round(DeliveryError),
    /// The request is too long.
    TooLarge(SendError),
    /// Something in the request is not acceptable.
    Refused(SendError),
}

impl Failure {
    pub(super) fn of(error: SendError, dialect: Dialect, stream: StreamId) -> Self {
        if matches!(error, SendError::Cancelled { .. }) {
            return Self::Stopped;
        }
        let wants_snapshot = error.problem().is_some_and(|problem| problem.code == "snapshot_wanted");
        match error.status().map(|status| status.as_u16()) {
            Some(401 | 403) => Self::Round(DeliveryError::Unauthorized(error)),
            Some(409) if wants_snapshot => Self::Round(DeliveryError::SnapshotWanted { stream, source: error }),
            Some(413) => Self::TooLarge(error),
            // Of our own controller a refusal has words. Without them something between answered, and to go by that
            // would mark every record as refused.
            Some(400 | 422) if dialect == Dialect::FilesV1 || error.problem().is_some() => Self::Refused(error),
            Some(500..) => Self::Round(DeliveryError::Unavailable(error)),
            _ if matches!(error, SendError::Certificate { .. } | SendError::NotHttp { .. }) => {
                Self::Round(DeliveryError::Untrusted(error))
            }
            _ if error.is_temporary() => Self::Round(DeliveryError::Unavailable(error)),
            _ => Self::Round(DeliveryError::Unexpected(error)),
        }
    }
}

/// The server's reason for refusing a single record, as a code and in words.
pub(super) fn reason(error: &SendError, fallback: &str) -> (String, String) {
    let code = error
        .problem()
        .map(|problem| problem.code.clone())
        .filter(|code| !code.is_empty());
    let words = error
        .problem()
        .map(Problem::to_string)
        .unwrap_or_else(|| error.to_string());
    (code.unwrap_or_else(|| fallback.to_owned()), words)
}
