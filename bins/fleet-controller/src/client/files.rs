//! `fleet-controller files`.
use super::{Rows, block_on, for_each, session};
use crate::cli::{ChangesArgs, FilesArgs, FilesCommand, Output};
use core_model::ByteSize;
use daemon_kit::{Exit, printable};
use fleet_api::rest::{ChangeQuery, ChangeView, FileQuery, FileView};
use fleet_core::ChangeAction;

pub(crate) fn files(output: Output, command: &FilesCommand) -> anyhow::Result<Exit> {
    match command {
        FilesCommand::List(args) => list(output, args)?,
        FilesCommand::Changes(args) => changes(output, args)?,
    }
    Ok(Exit::Done)
}

fn list(output: Output, args: &FilesArgs) -> anyhow::Result<()> {
    let client = session::client()?;
    let query = FileQuery {
        agent: args.agent.clone(),
        prefix: args.under.clone(),
        name: args.name.clone(),
        min_size: args.min_size.map(ByteSize::bytes),
        max_size: args.max_size.map(ByteSize::bytes),
        ..FileQuery::default()
    };
    let set = |query: &mut FileQuery, cursor, limit| {
        query.cursor = cursor;
        query.limit = Some(limit);
    };
    let mut rows = Rows::new(output, |file: &FileView| {
        let (size, time) = file.facts.as_ref().map_or_else(Default::default, |facts| {
            let time = facts.mtime.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string());
            (ByteSize::new(facts.size).human(), time.unwrap_or_default())
        });
        format!("{size:>10}  {time:19}  {}", printable(file.path.as_bytes()))
    });
    block_on(for_each(
        &client,
        "/api/v1/files",
        query,
        args.limit,
        set,
        |file: FileView| rows.print(&file),
    ))?;
    rows.end::<FileView>()
}

fn changes(output: Output, args: &ChangesArgs) -> anyhow::Result<()> {
    let client = session::client()?;
    let query = ChangeQuery {
        agent: args.agent.clone(),
        prefix: args.under.clone(),
        ..ChangeQuery::default()
    };
    let set = |query: &mut ChangeQuery, cursor, limit| {
        query.cursor = cursor;
        query.limit = Some(limit);
    };
    let mut rows = Rows::new(output, |change: &ChangeView| {
        let time = change.time.format("%Y-%m-%dT%H:%M:%SZ");
        let path = printable(change.path.as_bytes());
        let what = match change.action {
            ChangeAction::Created => "created",
            ChangeAction::Updated => "updated",
            ChangeAction::Moved => "moved",
            ChangeAction::Deleted => "deleted",
        };
        let from = change
            .from
            .as_ref()
            .map(|from| format!("{} -> ", printable(from.as_bytes())))
            .unwrap_or_default();
        let changed = if change.changed.is_empty() {
            String::new()
        } else {
            format!("  ({})", change.changed.join(", "))
        };
        format!("{time}  {what:7}  {from}{path}{changed}")
    });
    let each = |change: ChangeView| rows.print(&change);
    block_on(for_each(&client, "/api/v1/files/changes", query, args.limit, set, each))?;
    rows.end::<ChangeView>()
}

/// A name as one part of a path.
pub(super) fn encoded(part: &str) -> String {
    let mut url = url::Url::parse("http://localhost").ok();
    if let Some(mut parts) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
        parts.push(part);
    }
    url.map_or_else(|| part.to_owned(), |url| url.path().trim_start_matches('/').to_owned())
}
