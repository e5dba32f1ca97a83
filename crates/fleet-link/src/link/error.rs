//! Why the link is down, or a command could not be taken.
use fleet_wire::link::GoAway;
use state_sqlite::StateError;
use std::time::Duration;
use transport_http::{SendError, SocketError, StatusCode, UpgradeError};

/// Why there is no connection to the controller. The link tries on in every case.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The controller does not take this agent's key: the agent was revoked or removed, or the key was replaced.
    #[error(
        "the controller does not take this agent's key: the agent was revoked or removed there; enrol or claim it again"
    )]
    Unauthorized(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No socket was opened.
    #[error("no WebSocket could be opened")]
    Upgrade(#[source] UpgradeError),
    /// The socket came to its end.
    #[error("the link broke")]
    Socket(#[source] SocketError),
    /// It was opened, and the controller never said WELCOME.
    #[error("the controller did not answer HELLO within {} s", within.as_secs_f64())]
    NoWelcome {
        /// How long it was waited for.
        within: Duration,
    },
    /// A poll was answered, and not by WELCOME.
    #[error("a poll was answered without WELCOME: is it a fleet controller, of this version or the one before?")]
    NotWelcome,
    /// A poll failed.
    #[error("the controller could not be polled for messages")]
    Poll(#[source] SendError),
    /// The controller sent the agent away.
    #[error("the controller closed the link: {}", farewell(.0))]
    SentAway(GoAway),
    /// What the agent has to say of its commands could not be read.
    #[error("the link waits for the journal of commands")]
    Journal(#[source] JournalError),
}

fn farewell(goaway: &GoAway) -> String {
    match goaway.detail.as_str() {
        "" => goaway.reason.clone(),
        detail => format!("{detail} ({})", goaway.reason),
    }
}

impl LinkError {
    /// Whether only a person can help, so that there is no point in hurrying.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Unauthorized(_) => true,
            Self::SentAway(goaway) => goaway.reason == "revoked",
            _ => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upgrade(UpgradeError::Send(error)) | Self::Poll(error) => error.retry_after(),
            _ => None,
        }
    }

    pub(super) fn of_upgrade(error: UpgradeError) -> Self {
        let is_ours = error
            .send_error()
            .is_some_and(|error| is_unauthorized(error) && is_by_controller(error));
        if is_ours {
            Self::Unauthorized(Box::new(error))
        } else {
            Self::Upgrade(error)
        }
    }

    pub(super) fn of_poll(error: SendError) -> Self {
        if is_unauthorized(&error) {
            Self::Unauthorized(Box::new(error))
        } else {
            Self::Poll(error)
        }
    }

    /// Whether something on the way, and not the controller, stands against the socket, so that polling may pass.
    pub(super) fn is_in_the_way(&self) -> bool {
        match self {
            Self::Upgrade(UpgradeError::Send(error)) => error.status().is_some() && !is_by_controller(error),
            Self::Upgrade(UpgradeError::NotUpgraded { .. } | UpgradeError::BadHandshake { .. }) => true,
            _ => false,
        }
    }
}

/// The controller gives every refusal a code; what has none is of a proxy.
fn is_by_controller(error: &SendError) -> bool {
    error.problem().is_some_and(|problem| !problem.code.is_empty())
}

fn is_unauthorized(error: &SendError) -> bool {
    matches!(error.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
}

/// Why the journal of commands could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A message has no JSON form.
    #[error("a command or its result could not be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// The process is ending.
    #[error("the journal was interrupted")]
    Interrupted,
}
