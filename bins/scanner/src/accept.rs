//! `scanner accept`: what looks wrong is right.
use crate::{
    cli::{AcceptArgs, Output, Which},
    context::Context,
    encode::RecordEncoder,
    request,
};
use anyhow::bail;
use chrono::Utc;
use daemon_kit::{Exit, to_stdout};
use fsscan::{Accepted, Encoder, NoRecords, RootOutcome, ScanRequest};
use state_sqlite::{Database, OpenOptions, RunLock, SqliteTree};

pub(crate) fn run(context: &Context, args: &AcceptArgs) -> anyhow::Result<Exit> {
    let which = context.which(args.state.state);
    let file = context.state_file(which);
    let path = request::absolute(&args.path)?;
    // Opened for reading first, so that a mistyped directory is not given a state.
    drop(context.open_state(args.state.state)?);
    let _lock = RunLock::acquire(&file)?;
    let database = Database::open(&file, OpenOptions::default())?;
    let mut tree = SqliteTree::open(&database)?;
    let asked_for = match which {
        Which::Run => request::of_settings(&context.config, 0)?,
        Which::Scan => ScanRequest::new(Vec::new()),
    };
    let now = Utc::now();
    let mut records = RecordEncoder::new(now, context.config.scanner.mime_detection);
    let has_server = which == Which::Run && context.config.server.base_url.is_some();
    let encoder: &mut dyn Encoder = if has_server { &mut records } else { &mut NoRecords };
    let accepted = fsscan::accept(&mut tree, &path, &asked_for, encoder, now)?;
    let shown = path.display();
    let text = match &accepted {
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
    };
    match context.output {
        Output::Table | Output::Csv => to_stdout(format_args!("{text}\n"))?,
        Output::Json | Output::Jsonl => {
            to_stdout(format_args!("{}\n", serde_json::json!({"path": path, "result": text})))?
        }
    }
    Ok(Exit::Done)
}
