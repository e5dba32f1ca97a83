//! `scanner state`: check, back up and restore what the agent remembers.
use crate::{
    cli::{Output, StateCommand, Which},
    context::{Context, mended_by},
    requests::{self, Request},
};
use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::ByteSize;
use daemon_kit::{Exit, Table, to_stdout};
use serde::Serialize;
use state_sqlite::{Backup, Database, OpenOptions, Outbox, RunLock, restore_from};
use std::path::Path;

pub(crate) fn run(context: &Context, command: &StateCommand) -> anyhow::Result<Exit> {
    let file = context.state_file_of(Which::Run);
    match command {
        StateCommand::Check => check(context, &file),
        StateCommand::Backup => backup(context, &file),
        StateCommand::Backups => backups(context, &file),
        StateCommand::Restore { file: wanted } => restore(context, &file, wanted.as_deref()),
        StateCommand::Snapshot => snapshot(context, &file),
    }
}

#[derive(Serialize)]
struct Checked {
    state_file: String,
    sound: bool,
    /// What the check of the pages found.
    damage: Option<String>,
    directories: u64,
    damaged_directories: u64,
    runs: u64,
    damaged_runs: u64,
}

fn check(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let database = context.open_state(Some(Which::Run))?;
    let mut checked = Checked {
        state_file: file.display().to_string(),
        sound: false,
        damage: database.check().err().map(|error| error.to_string()),
        directories: 0,
        damaged_directories: 0,
        runs: 0,
        damaged_runs: 0,
    };
    if checked.damage.is_none() {
        let deep = database.check_deep()?;
        checked.directories = deep.directories;
        checked.damaged_directories = deep.damaged_directories;
        checked.runs = deep.runs;
        checked.damaged_runs = deep.damaged_runs;
    }
    checked.sound = checked.damage.is_none() && checked.damaged_directories + checked.damaged_runs == 0;
    let text = match &checked.damage {
        Some(damage) => format!("{damage}\n{}", mended_by(Which::Run)),
        None if checked.sound => format!(
            "{} is sound: every page, {} directories and {} runs of records were read",
            checked.state_file, checked.directories, checked.runs
        ),
        None => format!(
            "{}: {} of {} directories and {} of {} runs of records are damaged; the next scan reads the directories anew, \
             and the server is told everything anew for the records",
            checked.state_file, checked.damaged_directories, checked.directories, checked.damaged_runs, checked.runs
        ),
    };
    print(context, &text, &checked)?;
    Ok(if checked.sound { Exit::Done } else { Exit::Environment })
}

#[derive(Serialize)]
struct Shown {
    file: String,
    taken_at: DateTime<Utc>,
    bytes: u64,
}

impl From<&Backup> for Shown {
    fn from(backup: &Backup) -> Self {
        Self {
            file: backup.path.display().to_string(),
            taken_at: backup.taken_at,
            bytes: backup.bytes,
        }
    }
}

fn backup(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    // Backups go on beside a running agent: they read one instant of the state.
    let database = context.open_state(Some(Which::Run))?;
    let taken = context
        .live()
        .common
        .database
        .backups(file)
        .take(&database, Utc::now())?;
    let text = format!("{} ({})", taken.path.display(), ByteSize::new(taken.bytes).human());
    print(context, &text, &Shown::from(&taken))?;
    Ok(Exit::Done)
}

fn backups(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let backups = context.live().common.database.backups(file).list()?;
    let mut table = Table::new(&["TAKEN", "SIZE", "FILE"]).right(1);
    for backup in &backups {
        table.row([
            backup.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ByteSize::new(backup.bytes).human(),
            backup.path.display().to_string(),
        ]);
    }
    let shown: Vec<Shown> = backups.iter().map(Shown::from).collect();
    let text = match backups.is_empty() {
        true => "no backups yet: `scanner run` takes them by itself, `scanner state backup` takes one now".to_owned(),
        false => table.to_string().trim_end().to_owned(),
    };
    print(context, &text, &shown)?;
    Ok(Exit::Done)
}

fn restore(context: &Context, file: &Path, wanted: Option<&Path>) -> anyhow::Result<Exit> {
    let _lock = RunLock::acquire(file).context("stop the agent first: it works on the state that is to be replaced")?;
    let wanted = match wanted {
        Some(wanted) => wanted.to_owned(),
        None => match context.live().common.database.backups(file).newest_sound()? {
            Some(backup) => backup.path,
            None => bail!(
                "there is no sound backup in `{}`",
                context.live().common.database.backups(file).dir().display()
            ),
        },
    };
    let aside = restore_from(file, &wanted, Utc::now())?;
    let text = format!(
        "restored {}; the state that was there lies in {}. The next scan tells the server everything anew.",
        wanted.display(),
        aside.display()
    );
    #[derive(Serialize)]
    struct Restored {
        restored: String,
        aside: String,
    }
    let restored = Restored {
        restored: wanted.display().to_string(),
        aside: aside.display().to_string(),
    };
    print(context, &text, &restored)?;
    Ok(Exit::Done)
}

fn snapshot(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    drop(context.open_state(Some(Which::Run))?);
    let (exit, text) = match requests::lock_or_ask(file)? {
        Some(_lock) => {
            let database = Database::open(file, OpenOptions::default())?;
            (Exit::Done, requests::snapshot(&Outbox::open(&database)?)?)
        }
        None => requests::ask(file, &Request::Snapshot)?,
    };
    print(context, &text, &serde_json::json!({"result": text}))?;
    Ok(exit)
}

fn print(context: &Context, text: &str, json: &impl Serialize) -> anyhow::Result<()> {
    match context.output {
        Output::Csv => bail!("`scanner state` has no CSV form: ask for table, json or jsonl"),
        Output::Table => to_stdout(format_args!("{text}\n"))?,
        Output::Json | Output::Jsonl => to_stdout(serde_json::to_string(json)? + "\n")?,
    }
    Ok(())
}
