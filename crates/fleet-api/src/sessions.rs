//! Logging in and out, and passwords.
use crate::{
    auth,
    error::ApiError,
    extract::{Json, JsonBytes, parse},
    rest::{LoginRequest, LoginResponse, PasswordRequest},
    state::Shared,
};
use axum::{
    Extension, Json as Answer,
    extract::State,
    http::{Extensions, StatusCode},
};
use chrono::Utc;
use fleet_core::{Operator, Store};

pub(crate) async fn login<S: Store>(
    State(shared): State<Shared<S>>,
    extensions: Extensions,
    JsonBytes(body): JsonBytes,
) -> Result<Answer<LoginResponse>, ApiError> {
    let now = Utc::now();
    let too_many = |wait| ApiError::too_many(wait, "too many logins from this address; try again later");
    shared.logins.pass(auth::peer(&extensions), now).map_err(too_many)?;
    let LoginRequest { username, password } = parse(&body)?;
    let session = shared.fleet.login(&username, &password, now).await?;
    Ok(Answer(LoginResponse {
        token: session.token,
        expires_at: session.expires_at,
    }))
}

pub(crate) async fn logout<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
) -> Result<StatusCode, ApiError> {
    shared.fleet.logout(&operator, Utc::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn change_password<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Json(request): Json<PasswordRequest>,
) -> Result<StatusCode, ApiError> {
    let (current, new) = (&request.current_password, &request.new_password);
    shared
        .fleet
        .change_password(&operator, current, new, Utc::now())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
