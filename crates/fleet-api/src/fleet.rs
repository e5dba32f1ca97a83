//! Agents as operators see them, and the fleet in figures.
use crate::{
    auth,
    error::ApiError,
    extract::{Json, Named, Params},
    paging::{cursor, page},
    rest::{AgentDetailView, AgentQuery, AgentView, DeleteQuery, List, RenameRequest, StatisticsView},
    state::Shared,
};
use axum::{
    Json as Answer,
    extract::State,
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use chrono::Utc;
use fleet_core::{AgentDetail, AgentFilter, AgentRef, Glob, Store};

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<AgentQuery>,
) -> Result<Answer<List<AgentView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let filter = AgentFilter {
        kind: query.kind,
        status: query.status,
        name: query.name.map(Glob::new),
    };
    let (fleet, now) = (&shared.fleet, Utc::now());
    let agents = fleet
        .store()
        .agents(filter, page, now, fleet.settings().offline_after)
        .await?;
    let view = |agent| {
        let status = fleet.status(&agent, now);
        AgentView::new(agent, status)
    };
    Ok(Answer(List {
        next_cursor: agents.next.as_ref().map(cursor),
        items: agents.items.into_iter().map(view).collect(),
    }))
}

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Named(agent): Named,
) -> Result<Answer<AgentDetailView>, ApiError> {
    let AgentDetail {
        agent,
        streams,
        link,
        key,
    } = find(&shared, &agent).await?;
    let status = shared.fleet.status(&agent, Utc::now());
    Ok(Answer(AgentDetailView {
        agent: AgentView::new(agent, status),
        streams: streams.into_iter().map(Into::into).collect(),
        link: link.into(),
        key,
    }))
}

/// Takes the agent's key away, and with `purge` all that it told.
pub(crate) async fn revoke<S: Store>(
    State(shared): State<Shared<S>>,
    Named(agent): Named,
    Params(DeleteQuery { purge }): Params<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let now = Utc::now();
    let found = if purge {
        shared.fleet.remove_agent(&agent, now).await?
    } else {
        shared.fleet.revoke_agent(&agent, now).await?
    };
    if found {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&agent))
    }
}

pub(crate) async fn rename<S: Store>(
    State(shared): State<Shared<S>>,
    Named(agent): Named,
    Json(request): Json<RenameRequest>,
) -> Result<StatusCode, ApiError> {
    shared.fleet.rename_agent(&agent, &request.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the agent for another key; it is done when the agent has used one.
pub(crate) async fn rotate_key<S: Store>(
    State(shared): State<Shared<S>>,
    Named(agent): Named,
) -> Result<StatusCode, ApiError> {
    shared.fleet.rotate_key(&agent, Utc::now()).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn statistics<S: Store>(State(shared): State<Shared<S>>) -> Result<Answer<StatisticsView>, ApiError> {
    let offline_after = shared.fleet.settings().offline_after;
    let sums = shared.fleet.store().statistics(Utc::now(), offline_after).await?;
    Ok(Answer(sums.into()))
}

/// For operators, and for a collector on this machine, which has no token.
pub(crate) async fn metrics<S: Store>(
    State(shared): State<Shared<S>>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    if !auth::is_local(auth::peer(&extensions), &headers) {
        auth::operator(&shared, &headers).await?;
    }
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, media_type)], (shared.metrics)()))
}

/// The agent of this id or name.
pub(crate) async fn find<S: Store>(shared: &Shared<S>, agent: &str) -> Result<AgentDetail, ApiError> {
    let found = shared.fleet.store().agent(AgentRef::from(agent)).await?;
    found.ok_or_else(|| unknown(agent))
}

pub(crate) fn unknown(agent: &str) -> ApiError {
    ApiError::not_found("agent_not_found", format!("there is no agent `{agent}`"))
}
