//! Join tokens.
use crate::{
    error::ApiError,
    extract::{Json, Named, Params},
    paging::{cursor, page},
    rest::{JoinTokenCreated, JoinTokenRequest, JoinTokenView, List, PageQuery},
    state::Shared,
};
use axum::{Extension, Json as Answer, extract::State, http::StatusCode};
use chrono::Utc;
use core_model::TokenId;
use fleet_core::{Operator, Store};
use std::time::Duration;

pub(crate) async fn create<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    Json(request): Json<JoinTokenRequest>,
) -> Result<(StatusCode, Answer<JoinTokenCreated>), ApiError> {
    let life = Duration::from_secs(request.ttl_secs);
    let created = shared
        .fleet
        .create_join_token(&operator, &request.name, life, request.max_uses, Utc::now())
        .await?;
    let answer = JoinTokenCreated {
        id: created.id,
        token: created.token,
        expires_at: created.expires_at,
    };
    Ok((StatusCode::CREATED, Answer(answer)))
}

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<PageQuery>,
) -> Result<Answer<List<JoinTokenView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let tokens = shared.fleet.store().join_tokens(page).await?;
    let now = Utc::now();
    Ok(Answer(List {
        next_cursor: tokens.next.as_ref().map(cursor),
        items: tokens
            .items
            .into_iter()
            .map(|token| JoinTokenView::new(token, now))
            .collect(),
    }))
}

pub(crate) async fn revoke<S: Store>(
    State(shared): State<Shared<S>>,
    Named(id): Named,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::not_found("join_token_not_found", format!("there is no join token `{id}`"));
    let token: TokenId = id.parse().map_err(|_| unknown())?;
    if shared.fleet.store().revoke_join_token(token, Utc::now()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}
