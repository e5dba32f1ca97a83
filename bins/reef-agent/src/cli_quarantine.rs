//! `reef-agent quarantine`: what was taken away is shown, brought back, handed out or deleted.
use crate::{
    cli::Output,
    context::Context,
    quarantine::{Item, ItemId, Quarantine, Raw, Restored, Target, by_hand, find},
    settings::{RuleSettings, taken_again},
};
use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use core_model::{ByteSize, chain};
use daemon_kit::{Exit, Table, printable, to_stdout};
use fleet_wire::Outcome;
use serde::Serialize;
use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// What there is, the oldest first.
    List,
    /// All that is known of one.
    Show(ShowArgs),
    /// Bring a file back: content, owner, mode, times and extended attributes. Exits 5 when some of that could not be.
    Restore(RestoreArgs),
    /// Delete for good.
    Delete(DeleteArgs),
    /// Write the malware itself, in the clear, for an analyst. It stays in quarantine.
    Export(ExportArgs),
}

impl QuarantineCommand {
    /// Whether it leaves everything as it is.
    pub(crate) const fn only_looks(&self) -> bool {
        matches!(self, Self::List | Self::Show(_))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its id, or enough of the beginning.
    id: String,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Its id, or enough of the beginning.
    id: String,
    /// Where to [default: where it was].
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Over a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Their ids, or enough of the beginnings.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Without asking.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Its id, or enough of the beginning.
    id: String,
    /// Where to; `-` is standard output. What is there is not replaced.
    file: PathBuf,
}

pub(crate) fn run(context: &Context, command: &QuarantineCommand) -> anyhow::Result<Exit> {
    run_in(
        (&context.quarantine(), &context.state_file()),
        context.output,
        context.quiet,
        &context.live().rules,
        command,
    )
}

/// `state` is where a running agent hears of what is done; `rules` may take away again what is brought back.
fn run_in(
    (place, state): (&Path, &Path),
    output: Output,
    quiet: bool,
    rules: &[RuleSettings],
    command: &QuarantineCommand,
) -> anyhow::Result<Exit> {
    match (Quarantine::open_existing(place)?, command) {
        (it, QuarantineCommand::List) => list(output, quiet, it.as_ref()),
        (None, _) => bail!("nothing is in quarantine at `{}`", place.display()),
        (Some(it), QuarantineCommand::Show(args)) => show(output, &it, args),
        (Some(it), QuarantineCommand::Restore(args)) => restore(output, (&it, state), rules, args),
        (Some(it), QuarantineCommand::Delete(args)) => delete(output, (&it, state), args),
        (Some(it), QuarantineCommand::Export(args)) => export(quiet, &it, args),
    }
}

fn list(output: Output, quiet: bool, quarantine: Option<&Quarantine>) -> anyhow::Result<Exit> {
    let listing = quarantine.map(Quarantine::list).transpose()?.unwrap_or_default();
    if output == Output::Table {
        let mut table = Table::new(&["ID", "TAKEN", "SIGNATURE", "SIZE", "RULE", "PATH"]).right(3);
        for item in &listing.items {
            table.row(row(item));
        }
        if !table.is_empty() {
            to_stdout(table)?;
        } else if !quiet {
            eprintln!("nothing is in quarantine");
        }
    } else {
        print_rows(output, &listing.items)?;
    }
    for error in &listing.damaged {
        eprintln!("error: {}", chain(error));
    }
    Ok(if listing.damaged.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    })
}

fn row(item: &Item) -> [String; 6] {
    let manifest = &item.manifest;
    let note = if item.is_settled {
        ""
    } else {
        "  (its removal was interrupted)"
    };
    [
        manifest.id.to_string(),
        time(manifest.taken_at),
        printable(manifest.signatures.join(", ").as_bytes()).into_owned(),
        ByteSize::new(manifest.size).human(),
        printable(manifest.rule.as_bytes()).into_owned(),
        format!("{}{note}", shown(&manifest.path)),
    ]
}

fn show(output: Output, quarantine: &Quarantine, args: &ShowArgs) -> anyhow::Result<Exit> {
    let item = quarantine.get(&find(quarantine, &args.id)?)?;
    if output != Output::Table {
        return print_one(output, &item);
    }
    let (manifest, attributes) = (&item.manifest, &item.manifest.attributes);
    let name = |name: &Option<String>, id: u32| match name {
        Some(name) => format!("{} ({id})", printable(name.as_bytes())),
        None => id.to_string(),
    };
    let instant = |at: crate::quarantine::FileTime| {
        DateTime::from_timestamp(at.secs, at.nanos).map_or_else(
            || format!("{}.{:09} s", at.secs, at.nanos),
            |at| at.to_rfc3339_opts(SecondsFormat::Nanos, true),
        )
    };
    let text = |text: &str| printable(text.as_bytes()).into_owned();
    let mut lines = vec![
        ("id", manifest.id.to_string()),
        ("path", shown(&manifest.path)),
        ("signatures", text(&manifest.signatures.join(", "))),
        ("rule", text(&manifest.rule)),
        ("clamd", text(&manifest.clamd)),
        ("scanned", time(manifest.scanned_at)),
        ("taken", time(manifest.taken_at)),
        ("host", text(&manifest.host)),
        ("size", format!("{} bytes", manifest.size)),
        ("sha256", manifest.sha256.clone()),
        ("owner", name(&attributes.owner, attributes.uid)),
        ("group", name(&attributes.group, attributes.gid)),
        ("mode", format!("{:04o}", attributes.mode)),
        ("mtime", instant(attributes.mtime)),
        ("ctime", instant(attributes.ctime)),
        ("atime", instant(attributes.atime)),
        ("names", manifest.links.to_string()),
    ];
    lines.extend(manifest.other_names.iter().map(|path| ("other name", shown(path))));
    let xattrs = attributes.xattrs.iter();
    lines.extend(xattrs.map(|xattr| {
        (
            "attribute",
            format!("{}, {} bytes", shown(&xattr.name), xattr.value.len()),
        )
    }));
    if !item.is_settled {
        let note = "not certain: its removal was interrupted, and its place could not be reached since";
        lines.push(("removed", note.to_owned()));
    }
    let text: String = lines.iter().map(|(key, value)| format!("{key:<12}{value}\n")).collect();
    to_stdout(text)?;
    Ok(Exit::Done)
}

fn restore(
    output: Output,
    (quarantine, state): (&Quarantine, &Path),
    rules: &[RuleSettings],
    args: &RestoreArgs,
) -> anyhow::Result<Exit> {
    let id = find(quarantine, &args.id)?;
    let target = Target {
        to: args.to.as_deref(),
        force: args.force,
    };
    let restored = quarantine.restore(&id, &target)?;
    tell(state, &id, restored.path.bytes(), Outcome::Restored);
    if output == Output::Table {
        to_stdout(format_args!("{}\n", shown(&restored.path)))?;
    } else {
        print_one(output, &restored)?;
    }
    if let Some(text) = taken_again(rules, Path::new(OsStr::from_bytes(restored.path.bytes()))) {
        eprintln!("warning: {}", printable(text.as_bytes()));
    }
    Ok(said(&restored))
}

/// Says what is not as it was.
fn said(restored: &Restored) -> Exit {
    for missing in &restored.missing {
        let attribute = printable(missing.attribute.as_bytes());
        eprintln!("not restored: {attribute}: {}", missing.reason);
    }
    if restored.missing.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    }
}

fn delete(output: Output, (quarantine, state): (&Quarantine, &Path), args: &DeleteArgs) -> anyhow::Result<Exit> {
    // All must be known before the first is deleted.
    let mut ids = args
        .ids
        .iter()
        .map(|id| find(quarantine, id))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    if !args.yes && !is_agreed(quarantine, &ids)? {
        return Ok(Exit::Usage);
    }
    let asked = ids.len();
    let mut deleted: Vec<ItemId> = Vec::new();
    for id in ids {
        // One that cannot be read has no path any more.
        let path = quarantine.get(&id).map(|item| item.manifest.path.bytes().to_vec());
        match quarantine.delete(&id) {
            Ok(()) => {
                tell(state, &id, &path.unwrap_or_default(), Outcome::Purged);
                deleted.push(id);
            }
            Err(error) => eprintln!("error: {}", chain(&error)),
        }
    }
    match output {
        Output::Table => to_stdout(deleted.iter().map(|id| format!("{id}\n")).collect::<String>())?,
        output => print_rows(output, &deleted)?,
    }
    Ok(match deleted.len() {
        all if all == asked => Exit::Done,
        0 => Exit::Environment,
        _ => Exit::Partial,
    })
}

/// Has a running agent hear of it. That it was done is more than that somebody heard of it.
fn tell(state: &Path, id: &ItemId, path: &[u8], outcome: Outcome) {
    if let Err(error) = by_hand(state, id, path, outcome, Utc::now()) {
        eprintln!("warning: the agent was not told: {error:#}");
    }
}

/// Asks at the terminal. Without one, nobody agrees.
fn is_agreed(quarantine: &Quarantine, ids: &[ItemId]) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        eprintln!("error: nothing was deleted: there is no terminal to ask at; say `--yes`");
        return Ok(false);
    }
    for id in ids {
        // One that cannot be read can be deleted no less.
        let shown = quarantine.get(id).map(|item| row(&item).join("  "));
        eprintln!("{}", shown.unwrap_or_else(|error| chain(&error)));
    }
    eprint!("delete for good? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn export(quiet: bool, quarantine: &Quarantine, args: &ExportArgs) -> anyhow::Result<Exit> {
    let id = find(quarantine, &args.id)?;
    if args.file == Path::new("-") {
        if io::stdout().is_terminal() {
            bail!("malware is not written to a terminal: name a file, or pipe it on");
        }
        quarantine.copy_out(&id, &mut io::stdout().lock())?;
        return Ok(Exit::Done);
    }
    let path = &args.file;
    // Neither to be run nor to be read by others.
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not make `{}`", path.display()))?;
    let written = quarantine
        .copy_out(&id, &mut file)
        .map_err(anyhow::Error::from)
        .and_then(|_| Ok(file.sync_all()?));
    if let Err(error) = written {
        std::fs::remove_file(path).ok();
        return Err(error);
    }
    if !quiet {
        eprintln!("`{}` is the malware itself: handle it as such", path.display());
    }
    Ok(Exit::Done)
}

fn shown(raw: &Raw) -> String {
    printable(raw.bytes()).into_owned()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn print_one(output: Output, value: &impl Serialize) -> anyhow::Result<Exit> {
    let text = match output {
        Output::Jsonl => serde_json::to_string(value)?,
        Output::Json | Output::Table => serde_json::to_string_pretty(value)?,
    };
    to_stdout(format_args!("{text}\n"))?;
    Ok(Exit::Done)
}

fn print_rows<T: Serialize>(output: Output, rows: &[T]) -> anyhow::Result<()> {
    if output != Output::Jsonl {
        to_stdout(format_args!("{}\n", serde_json::to_string_pretty(rows)?))?;
        return Ok(());
    }
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(to_stdout(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::tests::{Site, scan, site};
    use std::fs;

    fn run(site: &Site, command: &QuarantineCommand) -> anyhow::Result<Exit> {
        run_in(
            (&site.store, &site.store.join("no-state.db")),
            Output::Jsonl,
            true,
            &[],
            command,
        )
    }

    fn restore_of(id: &str) -> QuarantineCommand {
        QuarantineCommand::Restore(RestoreArgs {
            id: id.to_owned(),
            to: None,
            force: false,
        })
    }

    #[test]
    fn without_a_quarantine_there_is_nothing_and_none_is_made() {
        let site = site();
        assert_eq!(run(&site, &QuarantineCommand::List).unwrap(), Exit::Done);
        assert!(run(&site, &restore_of("0")).is_err());
        assert!(!site.store.exists());
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_where_only_one_begins_so() {
        let site = site();
        let quarantine = site.open();
        let [first, second] = ["a", "b"].map(|name| {
            let scanned = scan(&site.write(name, b"bad"));
            scanned.take(&quarantine).unwrap().manifest.id
        });
        let [one, other] = [first.to_string(), second.to_string()];
        let shared = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        assert_eq!(find(&quarantine, &one[..=shared]).unwrap(), first);
        assert_eq!(find(&quarantine, &other).unwrap(), second);
        for text in [&one[..shared], "", "nonsense"] {
            assert!(find(&quarantine, text).is_err(), "{text}");
        }
        assert_eq!(run(&site, &restore_of(&one)).unwrap(), Exit::Done);
        assert_eq!(fs::read(site.files.join("a")).unwrap(), b"bad");
    }

    #[test]
    fn nothing_is_deleted_when_one_of_the_ids_is_unknown() {
        let site = site();
        let quarantine = site.open();
        let id = scan(&site.write("file", b"bad")).take(&quarantine).unwrap().manifest.id;
        let delete = |ids: &[&str]| {
            QuarantineCommand::Delete(DeleteArgs {
                ids: ids.iter().map(|id| (*id).to_owned()).collect(),
                yes: true,
            })
        };
        let id = id.to_string();
        assert!(run(&site, &delete(&[&id, "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e"])).is_err());
        assert_eq!(site.stored().len(), 2);
        assert_eq!(run(&site, &delete(&[&id, &id])).unwrap(), Exit::Done);
        assert_eq!(site.stored().len(), 0);
    }

    #[test]
    fn what_is_handed_out_is_for_its_owner_alone_and_replaces_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let site = site();
        let id = scan(&site.write("file", b"bad"))
            .take(&site.open())
            .unwrap()
            .manifest
            .id;
        let file = site.files.join("sample");
        let export = QuarantineCommand::Export(ExportArgs {
            id: id.to_string(),
            file: file.clone(),
        });
        assert_eq!(run(&site, &export).unwrap(), Exit::Done);
        assert_eq!(fs::read(&file).unwrap(), b"bad");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        fs::write(&file, "other").unwrap();
        assert!(run(&site, &export).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"other");
        // Half a content is no content.
        let data = site.store.join(format!("{id}.data"));
        fs::write(&data, &fs::read(&data).unwrap()[..30]).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(run(&site, &export).is_err());
        assert!(!file.exists());
    }
}
