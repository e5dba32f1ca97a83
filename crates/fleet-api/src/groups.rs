//! Groups: names for agents that are meant together.
use crate::{
    error::ApiError,
    extract::{Json, Named},
    rest::{GroupRequest, GroupView, List},
    state::Shared,
};
use axum::{Extension, Json as Answer, extract::State, http::StatusCode};
use chrono::Utc;
use fleet_core::{Group, Operator, Store};

/// All of them: there are tens, not thousands.
pub(crate) async fn list<S: Store>(State(shared): State<Shared<S>>) -> Result<Answer<List<GroupView>>, ApiError> {
    let groups = shared.fleet.store().groups().await?;
    Ok(Answer(List {
        items: groups.into_iter().map(Into::into).collect(),
        next_cursor: None,
    }))
}

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Named(name): Named,
) -> Result<Answer<GroupView>, ApiError> {
    find(&shared, &name).await.map(|group| Answer(group.into()))
}

pub(crate) async fn put<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Named(name): Named,
    Json(request): Json<GroupRequest>,
) -> Result<(StatusCode, Answer<GroupView>), ApiError> {
    let group = Group {
        name,
        selector: request.selector,
        comment: request.comment,
        changed_at: Utc::now(),
        changed_by: operator.name,
    };
    let is_new = shared.fleet.put_group(group.clone()).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(group.into())))
}

pub(crate) async fn remove<S: Store>(
    State(shared): State<Shared<S>>,
    Named(name): Named,
) -> Result<StatusCode, ApiError> {
    if shared.fleet.store().remove_group(name.clone()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&name))
    }
}

/// The group of this name.
pub(crate) async fn find<S: Store>(shared: &Shared<S>, name: &str) -> Result<Group, ApiError> {
    let found = shared.fleet.store().group(name.to_owned()).await?;
    found.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found("group_not_found", format!("there is no group `{name}`"))
}
