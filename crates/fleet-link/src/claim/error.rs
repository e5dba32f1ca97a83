//! Why an agent is not claimed, and what an answer of the server means for that.
use crate::credentials::CredentialError;
use std::{io, path::PathBuf};
use transport_http::{SendError, StatusCode};

/// Why an agent is not claimed. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The stored credentials are there and unusable, or the new ones could not be stored.
    #[error(transparent)]
    Credentials(CredentialError),
    /// What proves this agent could not be kept, and so no claim was begun.
    #[error("could not {doing} the claim token `{}`", path.display())]
    Token {
        /// `read`, `store` or `remove`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gave no random bits for a token.
    #[error("the system gave no random bits for a claim token")]
    Random(#[source] getrandom::Error),
    /// The key would travel readable by anyone.
    #[error(
        "{server} is not HTTPS: a key is handed out over TLS or on this machine only, whatever `server.allow_http` says; \
         use `https://`, or a join token"
    )]
    Insecure {
        /// The server.
        server: String,
    },
    /// 409: the name is another agent's.
    #[error(
        "the controller knows another agent named `{name}`: choose another `agent.id`, or, if this is the same machine \
         set up anew, remove the old agent there first"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The controller's words.
        source: Box<SendError>,
    },
    /// 409 to a poll: the key was handed out and used already.
    #[error(
        "the key of this claim is in use already, and not by this agent: revoke the agent at the controller, find out who \
         could read this machine's data directory, and start again"
    )]
    AlreadyUsed {
        /// The controller's words.
        source: Box<SendError>,
    },
    /// 404: the server knows nothing of claims.
    #[error(
        "{server} takes no claims: is it a fleet controller, and are claims switched on? A join token does as well"
    )]
    NotOffered {
        /// The server.
        server: String,
        /// What it said.
        source: Box<SendError>,
    },
    /// Anything else that it said.
    #[error("{server} does not let this agent be claimed")]
    Refused {
        /// The server.
        server: String,
        /// What it said.
        source: Box<SendError>,
    },
    /// It was accepted, and the answer has no key.
    #[error(
        "{server} accepted the claim and gave no key: is it a fleet controller, of this version or the one before?"
    )]
    NoKey {
        /// The server.
        server: String,
    },
    /// It was told to stop.
    #[error("the claim was interrupted; it goes on at the next start")]
    Stopped,
}

/// What follows from an answer.
pub(super) enum Answered {
    /// To ask again later.
    Later(SendError),
    /// A new claim.
    Lapsed,
    /// There is nothing at that address.
    Unknown(Box<SendError>),
    /// The key is somebody else's.
    Used(ClaimError),
    /// The end.
    Never(ClaimError),
}

pub(super) fn sort(error: SendError, server: &str, name: &str) -> Answered {
    let code = error.problem().map(|problem| problem.code.clone()).unwrap_or_default();
    let status = error.status();
    // Without a status it was not the server that spoke.
    if error.is_temporary() || status.is_none() {
        return Answered::Later(error);
    }
    let source = Box::new(error);
    match status {
        Some(StatusCode::GONE) => Answered::Lapsed,
        // Neither may be said of a claim that there is to whoever cannot prove it, so it is over for this agent.
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) if !code.is_empty() => Answered::Lapsed,
        Some(StatusCode::NOT_FOUND) => Answered::Unknown(source),
        Some(StatusCode::CONFLICT) if code == "name_taken" => Answered::Never(ClaimError::NameTaken {
            name: name.to_owned(),
            source,
        }),
        Some(StatusCode::CONFLICT) => Answered::Used(ClaimError::AlreadyUsed { source }),
        _ => Answered::Never(ClaimError::Refused {
            server: server.to_owned(),
            source,
        }),
    }
}
