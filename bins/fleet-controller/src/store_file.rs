//! `fleet-controller store`: check, back up and restore what the controller knows, on its own machine.
use crate::{
    cli::{Common, Output, StoreCommand},
    context::Context,
};
use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::ByteSize;
use daemon_kit::{Exit, Table, to_stdout};
use fleet_core::SqliteStore;
use serde::Serialize;
use state_sqlite::{Backup, Database, OpenError, RunLock};
use std::path::Path;

pub(crate) fn run(common: &Common, command: &StoreCommand) -> anyhow::Result<Exit> {
    let context = Context::reading(common)?;
    match command {
        StoreCommand::Check => check(&context, common.output),
        StoreCommand::Backup => backup(&context, common.output),
        StoreCommand::Backups => backups(&context, common.output),
        StoreCommand::Restore { file } => restore(&context, common.output, file.as_deref()),
    }
}

fn open(context: &Context) -> anyhow::Result<Database> {
    Database::open_read_only(&context.database).map_err(|error| match &error {
        OpenError::Missing { .. } => anyhow::Error::new(error).context("`fleet-controller serve` makes the store"),
        _ => error.into(),
    })
}

fn check(context: &Context, output: Output) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Checked {
        store: String,
        sound: bool,
        damage: Option<String>,
    }
    let found = Database::open_read_only(&context.database).and_then(|database| database.check());
    let damage = match found {
        Ok(()) => None,
        Err(error) if error.is_damage() => Some(format!("{:#}", anyhow::Error::from(error))),
        Err(error) => return Err(error.into()),
    };
    let checked = Checked {
        store: context.database.display().to_string(),
        sound: damage.is_none(),
        damage,
    };
    let text = match &checked.damage {
        None => format!("{} is sound: every page was read", checked.store),
        Some(damage) => {
            format!("{damage}\nthe next `fleet-controller serve` restores the newest sound backup by itself")
        }
    };
    print(output, &text, &checked)?;
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

fn backup(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let taken = context.backups().take(&open(context)?, Utc::now())?;
    let text = format!("{} ({})", taken.path.display(), ByteSize::new(taken.bytes).human());
    print(output, &text, &Shown::from(&taken))?;
    Ok(Exit::Done)
}

fn backups(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let backups = context.backups().list()?;
    let mut table = Table::new(&["TAKEN", "SIZE", "FILE"]).right(1);
    for backup in &backups {
        table.row([
            backup.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ByteSize::new(backup.bytes).human(),
            backup.path.display().to_string(),
        ]);
    }
    let shown: Vec<Shown> = backups.iter().map(Shown::from).collect();
    let text = if backups.is_empty() {
        "no backups yet: `serve` takes them by itself, `fleet-controller store backup` takes one now".to_owned()
    } else {
        table.to_string().trim_end().to_owned()
    };
    print(output, &text, &shown)?;
    Ok(Exit::Done)
}

fn restore(context: &Context, output: Output, wanted: Option<&Path>) -> anyhow::Result<Exit> {
    let _lock = RunLock::acquire(&context.database)
        .context("stop the controller first: it works on the store that is to be replaced")?;
    let wanted = match wanted {
        Some(wanted) => wanted.to_owned(),
        None => match context.backups().newest_sound()? {
            Some(backup) => backup.path,
            None => bail!("there is no sound backup in `{}`", context.backups().dir().display()),
        },
    };
    let aside = SqliteStore::restore(&context.database, &wanted, Utc::now())?;
    #[derive(Serialize)]
    struct Restored {
        restored: String,
        /// Where the store lies that was there; absent where there was none.
        aside: Option<String>,
    }
    let restored = Restored {
        restored: wanted.display().to_string(),
        aside: aside.exists().then(|| aside.display().to_string()),
    };
    let mut text = format!("restored {}", restored.restored);
    if let Some(aside) = &restored.aside {
        text.push_str(&format!("; the store that was there lies in {aside}"));
    }
    text.push_str(
        ".\nThe next `serve` asks every agent for a full snapshot. Agents that enrolled since the backup have to enrol \
         again,\nand what was revoked since has to be revoked again.",
    );
    print(output, &text, &restored)?;
    Ok(Exit::Done)
}

fn print(output: Output, text: &str, json: &impl Serialize) -> anyhow::Result<()> {
    match output {
        Output::Table => to_stdout(format_args!("{text}\n"))?,
        Output::Json | Output::Jsonl => to_stdout(serde_json::to_string(json)? + "\n")?,
    }
    Ok(())
}
