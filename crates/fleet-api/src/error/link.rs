//! Errors of claims, commands and agents' configuration.
use super::ApiError;
use axum::http::StatusCode;
use fleet_core::{
    AcceptClaimError, AcknowledgeError, AmendError, OpenClaimError, PollClaimError, PutGroupError, SendCommandError,
    SetConfigError,
};
use std::time::Duration;

/// Claims end by an operator or by time, in minutes rather than seconds.
const RETRY_CLAIMS: Duration = Duration::from_secs(60);

impl From<OpenClaimError> for ApiError {
    fn from(error: OpenClaimError) -> Self {
        let detail = error.to_string();
        match error {
            OpenClaimError::Invalid(_) => Self::unprocessable(detail),
            OpenClaimError::TooMany => Self::too_many(RETRY_CLAIMS, detail),
            OpenClaimError::Used => Self::new(StatusCode::GONE, "claim_used", detail),
            OpenClaimError::Store(error) => error.into(),
            OpenClaimError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<PollClaimError> for ApiError {
    fn from(error: PollClaimError) -> Self {
        let detail = error.to_string();
        match error {
            PollClaimError::Unknown => Self::not_found("claim_not_found", detail),
            PollClaimError::Expired => Self::new(StatusCode::GONE, "claim_expired", detail),
            PollClaimError::Used => Self::new(StatusCode::GONE, "claim_used", detail),
            PollClaimError::Store(error) => error.into(),
        }
    }
}

impl From<AcceptClaimError> for ApiError {
    fn from(error: AcceptClaimError) -> Self {
        let detail = error.to_string();
        match error {
            AcceptClaimError::Unknown(_) => Self::not_found("claim_not_found", detail),
            AcceptClaimError::Expired => Self::new(StatusCode::GONE, "claim_expired", detail),
            AcceptClaimError::Accepted => Self::new(StatusCode::CONFLICT, "claim_accepted", detail),
            AcceptClaimError::NameTaken(_) => Self::new(StatusCode::CONFLICT, "name_taken", detail),
            AcceptClaimError::Invalid(_) => Self::unprocessable(detail),
            AcceptClaimError::Store(error) => error.into(),
            AcceptClaimError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<SendCommandError> for ApiError {
    fn from(error: SendCommandError) -> Self {
        let detail = error.to_string();
        let unprocessable = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone());
        match error {
            SendCommandError::Invalid(_) => Self::unprocessable(detail),
            SendCommandError::NoAgent(_) => Self::not_found("agent_not_found", detail),
            SendCommandError::NoGroup(_) => Self::not_found("group_not_found", detail),
            SendCommandError::Nobody => unprocessable("no_agents"),
            SendCommandError::Verb(_) => unprocessable("unknown_verb"),
            SendCommandError::Args(_) => unprocessable("invalid_args"),
            SendCommandError::KeyReused => unprocessable("idempotency_key_reused"),
            SendCommandError::Store(error) => error.into(),
            SendCommandError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<SetConfigError> for ApiError {
    fn from(error: SetConfigError) -> Self {
        let detail = error.to_string();
        match error {
            SetConfigError::NoAgent(_) => Self::not_found("agent_not_found", detail),
            SetConfigError::NoVersion(_) => Self::not_found("config_version_not_found", detail),
            SetConfigError::Changed { .. } => Self::new(StatusCode::CONFLICT, "config_changed", detail),
            SetConfigError::Invalid(_) => Self::unprocessable(detail),
            SetConfigError::Store(error) => error.into(),
        }
    }
}

impl From<AmendError> for ApiError {
    fn from(error: AmendError) -> Self {
        let detail = error.to_string();
        match error {
            AmendError::NoAgent(_) => Self::not_found("agent_not_found", detail),
            AmendError::NameTaken(_) => Self::new(StatusCode::CONFLICT, "name_taken", detail),
            AmendError::Invalid(_) => Self::unprocessable(detail),
            AmendError::Store(error) => error.into(),
        }
    }
}

impl From<AcknowledgeError> for ApiError {
    fn from(error: AcknowledgeError) -> Self {
        let detail = error.to_string();
        match error {
            AcknowledgeError::Invalid(_) => Self::unprocessable(detail),
            AcknowledgeError::Store(error) => error.into(),
        }
    }
}

impl From<PutGroupError> for ApiError {
    fn from(error: PutGroupError) -> Self {
        let detail = error.to_string();
        match error {
            PutGroupError::Invalid(_) => Self::unprocessable(detail),
            PutGroupError::Store(error) => error.into(),
        }
    }
}
