//! What agents say of themselves.
use crate::{
    certificate,
    error::ApiError,
    extract::{Json, Named},
    state::Shared,
};
use axum::{
    Extension, Json as Answer,
    extract::State,
    http::{Extensions, StatusCode},
};
use chrono::Utc;
use fleet_core::{AgentIdentity, Store};
use fleet_wire::{EnrollRequest, EnrollResponse, Heartbeat, HeartbeatResponse, KeyResponse, files_v1};
use serde::Serialize;

/// The file-scanner document does not say what these answer; its clients look at the status alone.
#[derive(Serialize)]
pub(crate) struct Acknowledged {
    status: &'static str,
}

const OK: Answer<Acknowledged> = Answer(Acknowledged { status: "ok" });

/// By a join token, else by the certificate of the connection. One that has joined by its certificate already hears its id
/// again.
pub(crate) async fn enroll<S: Store>(
    State(shared): State<Shared<S>>,
    extensions: Extensions,
    Json(request): Json<EnrollRequest>,
) -> Result<(StatusCode, Answer<EnrollResponse>), ApiError> {
    let (certified, now) = (certificate::shown(&shared, &extensions), Utc::now());
    if request.join_token.is_some() {
        // The key would open nothing beside such a certificate.
        certificate::check_beside(&shared, certified, &request.name).await?;
        let name = request.name.clone();
        let answer = shared.fleet.enroll(request, now).await?;
        tracing::info!(agent = name, "an agent joined by a token");
        return Ok((StatusCode::CREATED, Answer(answer)));
    }
    let Some(certified) = certified? else {
        let wanted = if shared.fleet.settings().agents_by_certificate {
            "a join token or a client certificate is wanted"
        } else {
            "a join token is wanted: this controller does not know agents by their certificates"
        };
        return Err(ApiError::unauthorized("JoinToken").because(wanted));
    };
    let (answer, is_new) = shared.fleet.enroll_certified(&certified, request, now).await?;
    let status = if is_new {
        tracing::info!(agent = certified, "an agent joined by its certificate");
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Answer(answer)))
}

/// `POST /api/v1/agents/me/key`: another key, which takes the place of the one that came with this when it is used.
pub(crate) async fn renew_key<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
) -> Result<(StatusCode, Answer<KeyResponse>), ApiError> {
    let api_key = shared.fleet.renew_key(&agent).await?;
    Ok((StatusCode::CREATED, Answer(KeyResponse { api_key })))
}

/// `POST /api/v1/agents/me/leave`: the agent goes for good, and its key with it. What it told stays.
pub(crate) async fn leave<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
) -> Result<StatusCode, ApiError> {
    shared.fleet.revoke_agent(&agent.id.to_string(), Utc::now()).await?;
    tracing::info!(agent = agent.name, "an agent left the fleet");
    Ok(StatusCode::NO_CONTENT)
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

/// How the agent is to scan. A text that can no longer be read, which a later version may have taken, is as none.
pub(crate) async fn config_v1<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Named(named): Named,
) -> Result<Answer<files_v1::Config>, ApiError> {
    let read = |text: &str| (shared.read_config)(text).ok();
    Ok(Answer(shared.fleet.config_v1(&agent, &named, read).await?))
}

/// What the agent is to do.
pub(crate) async fn commands_v1<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    Named(named): Named,
) -> Result<Answer<files_v1::Commands>, ApiError> {
    Ok(Answer(shared.fleet.commands_v1(&agent, &named, Utc::now()).await?))
}
