//! Errors of agents' certificates and of the renewal of their keys.
use super::ApiError;
use axum::http::StatusCode;
use fleet_core::{EnrollCertifiedError, RenewKeyError, RotateKeyError};

impl From<EnrollCertifiedError> for ApiError {
    fn from(error: EnrollCertifiedError) -> Self {
        let detail = error.to_string();
        match error {
            EnrollCertifiedError::OtherName { .. } => Self::new(StatusCode::FORBIDDEN, "certificate_mismatch", detail),
            EnrollCertifiedError::NameTaken { .. } => Self::new(StatusCode::CONFLICT, "name_taken", detail),
            EnrollCertifiedError::Revoked => Self::forbidden(&detail),
            EnrollCertifiedError::Invalid(_) => Self::unprocessable(detail),
            EnrollCertifiedError::Store(error) => error.into(),
            EnrollCertifiedError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<RenewKeyError> for ApiError {
    fn from(error: RenewKeyError) -> Self {
        let detail = error.to_string();
        match error {
            RenewKeyError::NoKey => Self::new(StatusCode::CONFLICT, "no_key", detail),
            RenewKeyError::Replaced => Self::unauthorized("ApiKey").because(detail),
            RenewKeyError::Store(error) => error.into(),
            RenewKeyError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<RotateKeyError> for ApiError {
    fn from(error: RotateKeyError) -> Self {
        let detail = error.to_string();
        match error {
            RotateKeyError::NoAgent(_) => Self::not_found("agent_not_found", detail),
            RotateKeyError::Revoked(_) => Self::new(StatusCode::CONFLICT, "agent_revoked", detail),
            RotateKeyError::NoKey(_) => Self::new(StatusCode::CONFLICT, "no_key", detail),
            RotateKeyError::Store(error) => error.into(),
        }
    }
}
