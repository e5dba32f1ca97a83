//! `scanner accept`: what looks wrong is right.
use crate::{
    cli::{AcceptArgs, Output, Which},
    context::Context,
    encode::RecordEncoder,
    request,
    requests::{self, Request},
};
use anyhow::bail;
use chrono::Utc;
use daemon_kit::{Exit, to_stdout};
use fsscan::{Accepted, Encoder, NoRecords, RootOutcome, ScanRequest};
use state_sqlite::{Database, OpenOptions, SqliteTree};
use std::{ffi::OsString, path::Path};

pub(crate) fn run(context: &Context, args: &AcceptArgs) -> anyhow::Result<Exit> {
    let which = context.which(args.state.state);
    let file = context.state_file_of(which);
    let path = request::absolute(&args.path)?;
    let bytes = path.as_os_str().as_encoded_bytes().to_vec();
    // Opened for reading first, so that a mistyped directory is not given a state.
    drop(context.open_state(args.state.state)?);
    let (exit, text) = match requests::lock_or_ask(&file)? {
        Some(_lock) => {
            let database = Database::open(&file, OpenOptions::default())?;
            let released = match which {
                Which::Run => release(context, &database, &bytes)?,
                Which::Scan => release_from(context, &database, &path, &ScanRequest::new(Vec::new()), false)?,
            };
            (Exit::Done, released)
        }
        None => requests::ask(&file, &Request::Accept(bytes))?,
    };
    match context.output {
        Output::Table | Output::Csv => to_stdout(format_args!("{text}\n"))?,
        Output::Json | Output::Jsonl => {
            to_stdout(format_args!("{}\n", serde_json::json!({"path": path, "result": text})))?
        }
    }
    Ok(exit)
}

/// Releases what is held of a scan path of `run`; gives what that was, for people.
pub(crate) fn release(context: &Context, database: &Database, path: &[u8]) -> anyhow::Result<String> {
    let path = path_of(path);
    let asked_for = request::of_settings(&context.live().scanner, 0)?;
    let has_server = context.live().common.server.base_url.is_some();
    release_from(context, database, Path::new(&path), &asked_for, has_server)
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn release_from(
    context: &Context,
    database: &Database,
    path: &Path,
    asked_for: &ScanRequest,
    has_server: bool,
) -> anyhow::Result<String> {
    let mut tree = SqliteTree::open(database)?;
    let now = Utc::now();
    let mut records = RecordEncoder::new(now, context.live().scanner.mime_detection);
    let encoder: &mut dyn Encoder = if has_server { &mut records } else { &mut NoRecords };
    let accepted = fsscan::accept(&mut tree, path, asked_for, encoder, now)?;
    let shown = path.display();
    Ok(match &accepted {
        Accepted::Deletions { deleted } => format!("{shown}: {deleted} deletions released"),
        Accepted::NextScan { found } => {
            let what = match found {
                RootOutcome::Foreign => "holds another volume".to_owned(),
                RootOutcome::TurnedUpEmpty => "is empty".to_owned(),
                RootOutcome::Missing => "is not there".to_owned(),
                other => other.to_string(),
            };
            format!("{shown} {what}: the next scan takes it as it is")
        }
        Accepted::Forgotten { deleted } => format!("{shown} is forgotten, {deleted} files with it"),
        Accepted::Nothing => format!("{shown}: nothing is held and nothing is wrong"),
        Accepted::Unknown => bail!("{shown} is not a scan path of this state; `scanner status` lists them"),
    })
}
