//! Agents as operators see them, and the fleet in figures.
use crate::{
    auth,
    error::ApiError,
    extract::{Json, Named, Params},
    groups,
    paging::{cursor, page},
    rest::{AgentDetailView, AgentQuery, AgentView, AmendRequest, DeleteQuery, List, StatisticsView},
    state::Shared,
};
use axum::{
    Extension, Json as Answer,
    extract::State,
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use chrono::Utc;
use core_model::LabelMatch;
use fleet_core::{AgentDetail, AgentFilter, AgentRef, AgentSelector, Amendment, Glob, Maintenance, Operator, Store};

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<AgentQuery>,
) -> Result<Answer<List<AgentView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let mut selectors = vec![AgentSelector {
        kind: query.kind,
        site: query.site,
        labels: labels(query.labels.as_deref())?,
        capability: query.capability,
        container_engine: query.container_engine,
    }];
    if let Some(group) = &query.group {
        selectors.push(groups::find(&shared, group).await?.selector);
    }
    let filter = AgentFilter {
        status: query.status,
        selectors,
        version: query.version.map(Glob::new),
        os: query.os.map(Glob::new),
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

/// Labels with commas between them.
pub(crate) fn labels(text: Option<&str>) -> Result<Vec<LabelMatch>, ApiError> {
    let labels = text.into_iter().flat_map(|labels| labels.split(','));
    let labels = labels.map(|label| {
        let wrong = |error| ApiError::bad_request("invalid_label", format!("the label `{label}` {error}"));
        label.parse().map_err(wrong)
    });
    labels.collect()
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
        malware,
    } = find(&shared, &agent).await?;
    let status = shared.fleet.status(&agent, Utc::now());
    Ok(Answer(AgentDetailView {
        agent: AgentView::new(agent, status),
        streams: streams.into_iter().map(Into::into).collect(),
        link: link.into(),
        key,
        malware: malware.into(),
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

pub(crate) async fn amend<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Named(agent): Named,
    Json(request): Json<AmendRequest>,
) -> Result<StatusCode, ApiError> {
    let maintenance = request.maintenance.map(|maintenance| {
        maintenance.map(|wanted| Maintenance {
            since: Utc::now(),
            until: wanted.until,
            reason: wanted.reason,
            by: operator.name,
        })
    });
    let amendment = Amendment {
        name: request.name,
        site: request.site,
        labels: request.labels.into_iter().collect(),
        maintenance,
    };
    shared.fleet.amend_agent(&agent, amendment).await?;
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
