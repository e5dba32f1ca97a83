//! What can go wrong with a socket, before and after it is open.
use super::ClosedBy;
use crate::SendError;
use reqwest::StatusCode;
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// Why no socket was opened.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// No connection, or the server, or something on the way to it, refused.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It answered, and as if it had been asked for a page.
    #[error("{endpoint} did not open a WebSocket ({status}): does a proxy on the way take the upgrade out?")]
    NotUpgraded {
        /// Server and path.
        endpoint: String,
        /// The status.
        status: StatusCode,
    },
    /// It answered as WebSockets do, and not to this question.
    #[error("{endpoint} answered another handshake than the one begun: does a proxy on the way answer from its store?")]
    BadHandshake {
        /// Server and path.
        endpoint: String,
    },
}

impl UpgradeError {
    /// What became of the request, where it is about that.
    pub fn send_error(&self) -> Option<&SendError> {
        match self {
            Self::Send(error) => Some(error),
            Self::NotUpgraded { .. } | Self::BadHandshake { .. } => None,
        }
    }
}

/// How an open socket came to its end.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The server closed it.
    #[error("{endpoint} closed the connection{}", .by.as_ref().map_or(String::new(), |by| format!(": {by}")))]
    Closed {
        /// Server and path.
        endpoint: String,
        /// Its farewell, where it said one.
        by: Option<ClosedBy>,
    },
    /// It no longer answers, or takes nothing any more.
    #[error("{endpoint} gave no sign of life for {} s", after.as_secs_f64())]
    Stale {
        /// Server and path.
        endpoint: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// A message is longer than is taken.
    #[error("{endpoint} sent a message of more than {limit} bytes")]
    TooLong {
        /// Server and path.
        endpoint: String,
        /// The longest that is taken.
        limit: u64,
    },
    /// Bytes where text belongs.
    #[error("{endpoint} sent bytes where a text was expected")]
    Binary {
        /// Server and path.
        endpoint: String,
    },
    /// The connection broke, or what came on it breaks the rules.
    #[error("the connection to {endpoint} broke")]
    Broken {
        /// Server and path.
        endpoint: String,
        /// Why.
        source: Box<tungstenite::Error>,
    },
}
