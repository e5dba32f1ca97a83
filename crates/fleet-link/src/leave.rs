//! Leaving the fleet by the agent's own word.
use crate::credentials::{CredentialError, CredentialFile};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, Method, Request, SendError, StatusCode};

const PATH: &str = "/api/v1/agents/me/leave";

/// What came of leaving. Either way the credentials are gone from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The controller took the key away.
    Now,
    /// It did not know the key any more: the agent was revoked or removed there.
    Before,
}

/// Why the agent is still of the fleet.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The controller could not be told; nothing has changed.
    #[error("the controller could not be told")]
    Untold(#[source] Box<SendError>),
    /// The controller took the key away, and the credentials are still on this machine.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The disk could not be asked, because the process is ending.
    #[error("leaving was interrupted")]
    Interrupted,
}

/// Tells the controller that this agent goes for good, by `client`, which has its key or its certificate, and then
/// removes the credentials. What the agent told stays at the controller until an operator removes it.
///
/// # Errors
/// See [`LeaveError`]; it can be tried again.
pub async fn leave(client: &Client, file: &CredentialFile) -> Result<Left, LeaveError> {
    let request = Request::new(Method::POST, PATH).repeatable();
    let left = match client.send(request, &CancellationToken::new()).await {
        Ok(_) => Left::Now,
        Err(error) if matches!(error.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => Left::Before,
        Err(error) => return Err(LeaveError::Untold(Box::new(error))),
    };
    let file = file.clone();
    tokio::task::spawn_blocking(move || file.remove())
        .await
        .map_err(|_| LeaveError::Interrupted)??;
    Ok(left)
}
