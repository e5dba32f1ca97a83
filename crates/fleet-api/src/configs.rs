//! The configuration that operators set for agents.
use crate::{
    error::ApiError,
    extract::{Json, Named, Params},
    fleet,
    paging::{cursor, page},
    rest::{ConfigRequest, ConfigStateView, ConfigView, List, PageQuery, RollbackRequest},
    state::Shared,
};
use axum::{Extension, Json as Answer, extract::State, http::StatusCode};
use chrono::Utc;
use fleet_core::{AgentRef, NewConfig, Operator, Store};

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Named(agent): Named,
) -> Result<Answer<ConfigStateView>, ApiError> {
    let state = shared.fleet.store().config(AgentRef::from(agent.as_str())).await?;
    state
        .map(|state| Answer(state.into()))
        .ok_or_else(|| fleet::unknown(&agent))
}

pub(crate) async fn set<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Named(agent): Named,
    Json(request): Json<ConfigRequest>,
) -> Result<Answer<ConfigView>, ApiError> {
    let ConfigRequest { text, comment, follows } = request;
    if text.len() <= shared.fleet.settings().longest_config {
        (shared.read_config)(&text)
            .map_err(|what| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_config", what))?;
    }
    let set = shared
        .fleet
        .set_config(&operator, &agent, NewConfig::Text(text), comment, follows, Utc::now())
        .await?;
    Ok(Answer(set.into()))
}

pub(crate) async fn withdraw<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Named(agent): Named,
) -> Result<Answer<ConfigView>, ApiError> {
    let comment = "withdrawn".to_owned();
    let set = shared
        .fleet
        .set_config(&operator, &agent, NewConfig::Withdrawn, comment, None, Utc::now())
        .await?;
    Ok(Answer(set.into()))
}

pub(crate) async fn roll_back<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Named(agent): Named,
    Json(request): Json<RollbackRequest>,
) -> Result<Answer<ConfigView>, ApiError> {
    let comment = format!("back to version {}", request.version);
    let config = NewConfig::Version(request.version);
    let set = shared
        .fleet
        .set_config(&operator, &agent, config, comment, None, Utc::now())
        .await?;
    Ok(Answer(set.into()))
}

pub(crate) async fn history<S: Store>(
    State(shared): State<Shared<S>>,
    Named(agent): Named,
    Params(query): Params<PageQuery>,
) -> Result<Answer<List<ConfigView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let found = shared
        .fleet
        .store()
        .config_history(AgentRef::from(agent.as_str()), page)
        .await?;
    let configs = found.ok_or_else(|| fleet::unknown(&agent))?;
    Ok(Answer(List {
        next_cursor: configs.next.as_ref().map(cursor),
        items: configs.items.into_iter().map(Into::into).collect(),
    }))
}
