//! What agents say of themselves.
use crate::{
    error::ApiError,
    extract::{Json, Named},
    state::Shared,
};
use axum::{Extension, Json as Answer, extract::State, http::StatusCode};
use chrono::Utc;
use fleet_core::{AgentIdentity, Store};
use fleet_wire::{EnrollRequest, EnrollResponse, Heartbeat, HeartbeatResponse, files_v1};
use serde::Serialize;

/// The file-scanner document does not say what these answer; its clients look at the status alone.
#[derive(Serialize)]
pub(crate) struct Acknowledged {
    status: &'static str,
}

const OK: Answer<Acknowledged> = Answer(Acknowledged { status: "ok" });

pub(crate) async fn enroll<S: Store>(
    State(shared): State<Shared<S>>,
    Json(request): Json<EnrollRequest>,
) -> Result<(StatusCode, Answer<EnrollResponse>), ApiError> {
    let answer = shared.fleet.enroll(request, Utc::now()).await?;
    Ok((StatusCode::CREATED, Answer(answer)))
}

pub(crate) async fn heartbeat<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Json(told): Json<Heartbeat>,
) -> Result<Answer<HeartbeatResponse>, ApiError> {
    shared
        .fleet
        .heartbeat(&agent, told, Utc::now())
        .await
        .map(Answer)
        .map_err(Into::into)
}

pub(crate) async fn register_v1<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Json(told): Json<files_v1::Register>,
) -> Result<Answer<Acknowledged>, ApiError> {
    shared.fleet.register(&agent, told, Utc::now()).await?;
    Ok(OK)
}

pub(crate) async fn heartbeat_v1<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Json(told): Json<files_v1::Heartbeat>,
) -> Result<Answer<Acknowledged>, ApiError> {
    shared.fleet.heartbeat_v1(&agent, None, told, Utc::now()).await?;
    Ok(OK)
}

pub(crate) async fn heartbeat_v1_named<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Named(named): Named,
    Json(told): Json<files_v1::Heartbeat>,
) -> Result<Answer<Acknowledged>, ApiError> {
    shared
        .fleet
        .heartbeat_v1(&agent, Some(&named), told, Utc::now())
        .await?;
    Ok(OK)
}
