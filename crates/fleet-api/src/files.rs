//! Files of agents' hosts, and what changed.
use crate::{
    error::ApiError,
    extract::Params,
    fleet::find,
    paging::{cursor, page},
    rest::{ChangeQuery, ChangeView, DeletedParam, EntryQuery, FileQuery, FileView, List},
    state::Shared,
};
use axum::{Json as Answer, extract::State};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use fleet_core::{DeletedFiles, FileFilter, Glob, Store};

pub(crate) async fn list<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<FileQuery>,
) -> Result<Answer<List<FileView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let files = fleet_core::FileQuery {
        prefix: bytes(query.prefix, query.prefix_raw.as_deref(), "prefix_raw")?.unwrap_or_default(),
        agent: find(&shared, &query.agent).await?.agent.id,
        filter: FileFilter {
            name: query.name.map(Glob::new),
            min_size: query.min_size,
            max_size: query.max_size,
            mime: query.mime.map(Glob::new),
            changed_since: query.changed_since,
            deleted: match query.deleted {
                DeletedParam::False => DeletedFiles::Without,
                DeletedParam::True => DeletedFiles::Only,
                DeletedParam::Any => DeletedFiles::With,
            },
        },
    };
    let files = shared.fleet.store().files(files, page).await?;
    Ok(Answer(List {
        next_cursor: files.next.as_ref().map(cursor),
        items: files.items.into_iter().map(Into::into).collect(),
    }))
}

pub(crate) async fn show<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<EntryQuery>,
) -> Result<Answer<FileView>, ApiError> {
    let missing = || ApiError::bad_request("invalid_query", "path or path_raw is missing");
    let path = bytes(query.path, query.path_raw.as_deref(), "path_raw")?.ok_or_else(missing)?;
    let agent = find(&shared, &query.agent).await?.agent.id;
    let file = shared.fleet.store().file(agent, path).await?;
    let unknown = || ApiError::not_found("file_not_found", "this agent never told of a file of this path");
    Ok(Answer(file.ok_or_else(unknown)?.into()))
}

pub(crate) async fn changes<S: Store>(
    State(shared): State<Shared<S>>,
    Params(query): Params<ChangeQuery>,
) -> Result<Answer<List<ChangeView>>, ApiError> {
    let page = page(query.cursor.as_deref(), query.limit)?;
    let changes = fleet_core::ChangeQuery {
        prefix: bytes(query.prefix, query.prefix_raw.as_deref(), "prefix_raw")?.unwrap_or_default(),
        agent: find(&shared, &query.agent).await?.agent.id,
        action: query.action,
        since: query.since,
    };
    let changes = shared.fleet.store().changes(changes, page).await?;
    Ok(Answer(List {
        next_cursor: changes.next.as_ref().map(cursor),
        items: changes.items.into_iter().map(Into::into).collect(),
    }))
}

/// Bytes given as text, or in base64 (of either alphabet, because `+` and `/` are a burden in addresses).
pub(crate) fn bytes(text: Option<String>, raw: Option<&str>, name: &str) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(raw) = raw else {
        return Ok(text.map(String::into_bytes));
    };
    let decoded = STANDARD.decode(raw).or_else(|_| URL_SAFE_NO_PAD.decode(raw));
    let wrong = |_| ApiError::bad_request("invalid_query", format!("{name} is not base64"));
    decoded.map(Some).map_err(wrong)
}
