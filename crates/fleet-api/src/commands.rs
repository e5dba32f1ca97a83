//! Commands of operators.
use crate::{
    error::ApiError,
    extract::{JsonBytes, Named, Params, parse},
    fleet::find,
    paging::{cursor, page},
    rest::{CommandDetailView, CommandQuery, CommandRequest, CommandView, List},
    state::Shared,
};
use axum::{
    Extension, Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chrono::Utc;
use core_model::CommandId;
use fleet_core::{CommandFilter, CommandOrder, Operator, Store};
use sha2::{Digest, Sha256};
use std::time::Duration;

pub(crate) async fn send<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(operator): Extension<Operator>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Answer<CommandDetailView>), ApiError> {
    let wrong_key = |_| ApiError::bad_request("invalid_idempotency_key", "an Idempotency-Key is visible ASCII");
    let key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().map(str::to_owned));
    let key = key.transpose().map_err(wrong_key)?;
    let request: CommandRequest = parse(&body)?;
    let order = CommandOrder {
        verb: request.verb,
        args: request.args,
        target: request.to,
        priority: request.priority,
        within: Duration::from_secs(request.deadline_secs),
        key: key.map(|key| (key, Sha256::digest(&body).into())),
    };
    let sent = shared.fleet.send_command(&operator, order, Utc::now()).await?;
    let status = if sent.is_repeat {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Answer(detail(&shared, sent.id).await?)))
}

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<CommandQuery>,
) -> Result<Answer<List<CommandView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let agent = match &query.agent {
        Some(agent) => Some(find(&shared, agent).await?.agent.id),
        None => None,
    };
    let filter = CommandFilter {
        agent,
        verb: query.verb,
        open: query.open,
    };
    let commands = shared.fleet.store().commands(filter, page).await?;
    Ok(Answer(List {
        next_cursor: commands.next.as_ref().map(cursor),
        items: commands.items.into_iter().map(Into::into).collect(),
    }))
}

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Named(id): Named,
) -> Result<Answer<CommandDetailView>, ApiError> {
    let command = id.parse().map_err(|_| unknown(&id))?;
    Ok(Answer(detail(&shared, command).await?))
}

pub(crate) async fn cancel<S: Store>(
    State(shared): State<Shared<S>>,
    Named(id): Named,
) -> Result<Answer<CommandDetailView>, ApiError> {
    let command: CommandId = id.parse().map_err(|_| unknown(&id))?;
    if !shared.fleet.cancel_command(command, Utc::now()).await? {
        return Err(unknown(&id));
    }
    Ok(Answer(detail(&shared, command).await?))
}

async fn detail<S: Store>(shared: &Shared<S>, command: CommandId) -> Result<CommandDetailView, ApiError> {
    let found = shared.fleet.store().command(command).await?;
    found.map(Into::into).ok_or_else(|| unknown(&command.to_string()))
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found("command_not_found", format!("there is no command `{id}`"))
}
