//! Records of agents.
use crate::{
    error::ApiError,
    extract::{Json, JsonBytes},
    state::Shared,
};
use axum::{Extension, Json as Answer, extract::State, http::HeaderMap};
use chrono::Utc;
use fleet_core::{AgentIdentity, FilesV1Receipt, Store};
use fleet_wire::{IngestRequest, IngestResponse, files_v1};

pub(crate) async fn records<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Json(request): Json<IngestRequest>,
) -> Result<Answer<IngestResponse>, ApiError> {
    let answer = shared.fleet.ingest(&agent, request, Utc::now()).await?;
    Ok(Answer(answer))
}

/// The file-scanner document's face. An agent that speaks it narrows a 400 for a whole batch by halving, so whatever is
/// wrong with one entry, its shape too, is a 400.
pub(crate) async fn files_v1<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Answer<FilesV1Receipt>, ApiError> {
    let wrong_key = |_| ApiError::bad_request("invalid_idempotency_key", "an Idempotency-Key is visible ASCII");
    let key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().map(str::to_owned));
    let key = key.transpose().map_err(wrong_key)?;
    let request: files_v1::Ingest =
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_request("invalid_json", error.to_string()))?;
    let answer = shared
        .fleet
        .ingest_files(&agent, key, &body, request, Utc::now())
        .await?;
    Ok(Answer(answer))
}
