//! Errors as the routes tell them: problems (RFC 9457) with a code that programs can rely on.
mod keys;
mod link;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fleet_core::{
    BatchError, ChangePasswordError, CreateJoinTokenError, EnrollError, FilesV1AskError, HeartbeatError, IngestError,
    LoginError, PasswordError, RegisterError, StoreError,
};
use std::{error::Error, time::Duration};
use transport_http::problem_response;

/// A disk that is full or failed is seen to by people, not in seconds.
const RETRY_STORAGE: Duration = Duration::from_secs(30);
/// Sockets come and go.
const RETRY_BUSY: Duration = Duration::from_secs(10);

/// An error answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            challenge: None,
        }
    }

    /// No valid key or token came, and nothing is told about why.
    pub(crate) fn unauthorized(challenge: &'static str) -> Self {
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "")
        }
    }

    /// With a word for people.
    pub(crate) fn because(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail)
    }

    pub(crate) fn too_many(retry_after: Duration, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
        }
    }

    /// There is no room for another at the moment.
    pub(crate) fn too_busy(detail: &str) -> Self {
        Self {
            retry_after: Some(RETRY_BUSY),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_busy", detail)
        }
    }

    /// Nothing was done, and the same can be asked again.
    fn not_now(code: &'static str, detail: &str) -> Self {
        Self {
            retry_after: Some(RETRY_STORAGE),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        }
    }

    /// What went wrong inside is for the log; a caller learns only that it did.
    fn internal(error: &dyn Error) -> Self {
        let mut causes = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            causes = format!("{causes}: {cause}");
            next = cause.source();
        }
        tracing::error!(error = causes, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the controller's log says more",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut response = problem_response(self.status, self.code, title, &self.detail);
        if let Some(wait) = self.retry_after {
            // Rounded up: whoever comes back at that second is let in.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the controller is shutting down",
            ),
            // The store says both once in the log, and /health for as long as they last.
            StoreError::Full { .. } => {
                Self::not_now("storage_full", "the controller's disk is full; nothing was stored")
            }
            StoreError::Disk { .. } => {
                Self::not_now("storage_failed", "the controller's disk failed; nothing was stored")
            }
            StoreError::Backend { .. } | StoreError::Panicked { .. } => Self::internal(&error),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Store(error) => error.into(),
            PasswordError::Hash(_) | PasswordError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong => Self::unauthorized("Bearer").because(error.to_string()),
            LoginError::Locked(locked) => Self::too_many(locked.retry_after, error.to_string()),
            LoginError::Password(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for ApiError {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            // Not 401: the session is valid, and a client must not throw it away.
            ChangePasswordError::Wrong => Self::forbidden(&error.to_string()),
            ChangePasswordError::Locked(locked) => Self::too_many(locked.retry_after, error.to_string()),
            ChangePasswordError::Length => Self::unprocessable(error.to_string()),
            ChangePasswordError::Password(error) => error.into(),
        }
    }
}

impl From<CreateJoinTokenError> for ApiError {
    fn from(error: CreateJoinTokenError) -> Self {
        match error {
            CreateJoinTokenError::Invalid(detail) => Self::unprocessable(detail),
            CreateJoinTokenError::Store(error) => error.into(),
            CreateJoinTokenError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<EnrollError> for ApiError {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::Token => Self::unauthorized("JoinToken").because(error.to_string()),
            EnrollError::NameTaken { .. } => Self::new(StatusCode::CONFLICT, "name_taken", error.to_string()),
            EnrollError::Invalid(detail) => Self::unprocessable(detail),
            EnrollError::Store(error) => error.into(),
            EnrollError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::OtherAgent => Self::forbidden(&error.to_string()),
            RegisterError::Invalid(detail) => Self::unprocessable(detail),
            RegisterError::Store(error) => error.into(),
        }
    }
}

impl From<FilesV1AskError> for ApiError {
    fn from(error: FilesV1AskError) -> Self {
        match error {
            FilesV1AskError::OtherAgent => Self::forbidden(&error.to_string()),
            FilesV1AskError::Store(error) => error.into(),
        }
    }
}

impl From<HeartbeatError> for ApiError {
    fn from(error: HeartbeatError) -> Self {
        match error {
            HeartbeatError::OtherAgent => Self::forbidden(&error.to_string()),
            HeartbeatError::Invalid(detail) => Self::unprocessable(detail),
            HeartbeatError::Store(error) => error.into(),
        }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let detail = error.to_string();
        match error {
            IngestError::Batch(BatchError::TooMany { .. })
            | IngestError::FilesV1(fleet_core::FilesV1Error::TooMany { .. }) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", detail)
            }
            IngestError::Batch(_) => Self::bad_request("invalid_batch", detail),
            IngestError::FilesV1(_) => Self::bad_request("invalid_entry", detail),
            IngestError::Key => Self::bad_request("invalid_idempotency_key", detail),
            IngestError::SnapshotWanted => Self::new(StatusCode::CONFLICT, "snapshot_wanted", detail),
            IngestError::KeyReused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail),
            IngestError::Check => Self::internal(&error),
            IngestError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_disk_that_is_full_or_failed_is_no_fault_of_the_caller() {
        let source = Arc::new(std::io::Error::other("disk"));
        let full = StoreError::Full {
            doing: "ingest a batch",
            source: source.clone(),
        };
        let failed = StoreError::Disk {
            doing: "ingest a batch",
            source,
        };
        for (error, code) in [(full, "storage_full"), (failed, "storage_failed")] {
            let error = ApiError::from(IngestError::from(error));
            assert_eq!(error.code, code);
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "30");
        }
    }
}
