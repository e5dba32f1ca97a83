//! `scanner explain`: why a file was or was not sent.
use crate::{
    answers::{self, Refused},
    cli::{ExplainArgs, Output},
    context::Context,
    encode::wire_kind,
    request,
    session::{self, Session},
    settings::{ScanPath, ScannerSettings},
};
use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use conf::Origin;
use core_model::{ByteSize, Digest, KnownTree, Queue, RootId, TreeReader};
use daemon_kit::{Exit, printable, to_stdout};
use fleet_link::agent::{Answer, last_answer};
use fleet_wire::{FileKind, WirePath};
use fsscan::{Rule, Verdict, decode_entries, decode_hashes};
use serde::Serialize;
use state_sqlite::{Database, OpenError, Outbox, SqliteTree, StateError, find_dir};
use std::{
    fmt::{self, Write as _},
    path::Path,
};

/// Everything that is known of why a path was or was not sent.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    path: WirePath,
    scan: Decision,
    /// `None` where there is no state yet.
    state: Option<InState>,
    outbox: Vec<Owed>,
    refused: Option<Refused>,
    last_scan: Option<Session>,
    server: Option<Answer>,
    /// The answer in one sentence.
    summary: String,
}

/// What a scan does with the path as the disk is now.
#[derive(Serialize)]
struct Decision {
    verdict: &'static str,
    detail: String,
    decided_at: String,
    rule: Option<String>,
}

/// What the last scans made of it.
#[derive(Serialize)]
struct InState {
    root: String,
    root_completed_at: Option<DateTime<Utc>>,
    directory_digest: Option<String>,
    file: Option<Known>,
    /// It appeared or vanished, and the scan that decides whether it moved has not ended, or its deletion is held.
    waits_as: Option<&'static str>,
}

#[derive(Serialize)]
struct Known {
    #[serde(rename = "type")]
    kind: FileKind,
    size: u64,
    mtime: DateTime<Utc>,
    mode: String,
    hash: Option<String>,
}

/// A record about the path that waits for the server.
#[derive(Serialize)]
struct Owed {
    seq: u64,
    kind: String,
    enqueued_at: DateTime<Utc>,
}

pub(crate) fn run(context: &Context, args: &ExplainArgs) -> anyhow::Result<Exit> {
    let path = request::absolute(&args.path)?;
    let bytes = path.as_os_str().as_encoded_bytes();
    let database = match context.open_state(args.state.state) {
        Ok(database) => Some(database),
        Err(error) if is_missing(&error) => None,
        Err(error) => return Err(error),
    };
    let scan = decision(context, &settings(context, database.as_ref())?, &path)?;
    let mut explained = Explained {
        path: WirePath::from_bytes(bytes.to_vec()),
        scan,
        state: None,
        outbox: Vec::new(),
        refused: None,
        last_scan: None,
        server: None,
        summary: String::new(),
    };
    if let Some(database) = &database {
        explained.state = in_state(database, bytes)?;
        explained.outbox = owed(database, bytes)?;
        explained.refused = answers::refusal_of(database, bytes)?;
        explained.last_scan = session::history(database, 1)?.pop();
        explained.server = last_answer(database)?;
    }
    explained.summary = summary(&explained, context.live().common.server.base_url.is_some());
    match context.output {
        Output::Csv => anyhow::bail!("explain has no CSV form: ask for table, json or jsonl"),
        Output::Table => to_stdout(text(&explained))?,
        Output::Json | Output::Jsonl => to_stdout(serde_json::to_string(&explained)? + "\n")?,
    }
    Ok(Exit::Done)
}

fn is_missing(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(OpenError::Missing { .. })))
}

/// What scans go by. Where no paths are configured, those that `scanner scan` looked at last.
fn settings(context: &Context, database: Option<&Database>) -> anyhow::Result<ScannerSettings> {
    let mut settings = context.live().scanner.clone();
    if let (true, Some(database)) = (settings.scan_paths.is_empty(), database) {
        let roots = SqliteTree::overlay(database)?.roots()?;
        settings.scan_paths = roots
            .into_iter()
            .filter_map(|root| String::from_utf8(root.path).ok())
            .map(|path| ScanPath {
                path: path.into(),
                ..ScanPath::default()
            })
            .collect();
    }
    Ok(settings)
}

fn decision(context: &Context, settings: &ScannerSettings, path: &Path) -> anyhow::Result<Decision> {
    let request = request::of_settings(settings, 0)?;
    let said = fsscan::explain::<StateError>(&request, path)?;
    let (verdict, detail) = match &said.verdict {
        Verdict::Scanned => ("scanned", "scanned".to_owned()),
        Verdict::Walked => (
            "walked",
            "a directory: what lies in it is scanned, and it is no record itself".to_owned(),
        ),
        Verdict::OutsideRoots => ("outside", "in none of `scanner.scan_paths`".to_owned()),
        Verdict::LeftOut => ("ignored", "left out by a rule".to_owned()),
        Verdict::TooLarge { size, limit } => {
            let [size, limit] = [size, limit].map(|bytes| ByteSize::new(*bytes).human());
            ("too_large", format!("{size} is more than `max_file_size`, {limit}"))
        }
        Verdict::OtherFileSystem => (
            "other_file_system",
            "on another file system, and `one_file_system` is on".to_owned(),
        ),
        Verdict::BehindLink => ("behind_link", "behind a symbolic link that is not followed".to_owned()),
        Verdict::Missing => ("missing", "not there".to_owned()),
        Verdict::Unreadable { detail } => ("unreadable", format!("cannot be looked at: {detail}")),
    };
    Ok(Decision {
        verdict,
        detail,
        decided_at: said.decided_at.display().to_string(),
        rule: said.rule.map(|rule| placed(context, &rule, said.root.as_deref())),
    })
}

/// A rule with the line it stands on.
fn placed(context: &Context, rule: &Rule, root: Option<&Path>) -> String {
    let in_configuration = |pattern: &str, key: String| {
        let place = match context.loaded().settings.origin(&key) {
            Origin::File { name, line, column } => format!("{name}:{line}:{column}"),
            Origin::Environment { name } => name,
            _ => key.clone(),
        };
        format!("`{pattern}` ({place}, {key})")
    };
    match rule {
        Rule::Hidden => "its name begins with a dot, and `hidden` is off".to_owned(),
        Rule::OfAllRoots { pattern, index } => in_configuration(pattern, format!("scanner.ignore_patterns[{index}]")),
        Rule::OfRoot { pattern, index } => {
            let paths = &context.live().scanner.scan_paths;
            let is_it = |path: &ScanPath| request::absolute(&path.path).ok().as_deref() == root;
            let place = paths.iter().position(is_it).unwrap_or_default();
            in_configuration(pattern, format!("scanner.scan_paths[{place}].ignore_patterns[{index}]"))
        }
        Rule::OfFile { pattern, file, line } => format!("`{pattern}` ({}:{line})", file.display()),
    }
}

fn in_state(database: &Database, path: &[u8]) -> anyhow::Result<Option<InState>> {
    let tree = SqliteTree::overlay(database)?;
    let below = |root: &[u8]| {
        let prefix = root.strip_suffix(b"/").unwrap_or(root);
        path.strip_prefix(prefix)
            .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
            .map(<[u8]>::len)
    };
    let Some(root) = tree.roots()?.into_iter().find(|root| below(&root.path).is_some()) else {
        return Ok(None);
    };
    let relative = &path[path.len() - below(&root.path).unwrap_or_default()..];
    let mut names: Vec<&[u8]> = relative
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let name = names.pop().unwrap_or_default();
    let mut found = InState {
        root: String::from_utf8_lossy(&root.path).into_owned(),
        root_completed_at: root.completed_at,
        directory_digest: None,
        file: None,
        waits_as: tree.undecided_at(path)?.map(|row| match row.side {
            core_model::Side::Gone => "gone",
            core_model::Side::New => "new",
        }),
    };
    if let Some((dir, digest)) = directory(database, root.id, &names)? {
        found.directory_digest = Some(digest.0.iter().map(|byte| format!("{byte:02x}")).collect());
        let stored = tree.reader()?.directory(dir)?.unwrap_or_default();
        let mut hashes = decode_hashes(&stored.hashes);
        for (index, entry) in (0_u64..).zip(decode_entries(&stored.entries)?) {
            let (other, entry) = entry?;
            if other == name {
                let hash = hashes.find(|(at, _)| *at >= index).filter(|(at, _)| *at == index);
                found.file = Some(Known {
                    kind: wire_kind(entry.kind()),
                    size: entry.size,
                    mtime: DateTime::from_timestamp_nanos(entry.mtime_ns),
                    mode: format!("{:04o}", entry.permissions()),
                    hash: hash.map(|(_, content)| content.hash.to_string()),
                });
                break;
            }
        }
    }
    Ok(Some(found))
}

/// The directory that is named so below a root, with the digest of what is known of it.
fn directory(
    database: &Database,
    root: RootId,
    names: &[&[u8]],
) -> anyhow::Result<Option<(core_model::DirId, Digest)>> {
    database.with_writer(|connection| {
        let Some(mut here) = find_dir(connection, root, None, b"")? else {
            return Ok(None);
        };
        for name in names {
            match find_dir(connection, root, Some(here), name)? {
                Some(below) => here = below,
                None => return Ok(None),
            }
        }
        let sql = "SELECT digest FROM dir WHERE id = ?1";
        let digest: [u8; 16] = connection
            .query_row(sql, [here.0.cast_signed()], |row| row.get(0))
            .context("could not read a digest")?;
        Ok(Some((here, Digest(digest))))
    })
}

/// The records about the path that wait in the outbox.
fn owed(database: &Database, path: &[u8]) -> anyhow::Result<Vec<Owed>> {
    let outbox = Outbox::open(database)?;
    let stream = outbox.stream();
    let (mut owed, mut after) = (Vec::new(), 0);
    loop {
        let runs = outbox.peek(stream, after, 16)?;
        let Some(last) = runs.last() else { return Ok(owed) };
        after = last.seqs.first;
        for run in runs {
            let Ok(body) = run.body else { continue };
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for (seq, line) in (run.seqs.first..).zip(lines) {
                if let Some((kind, paths)) = answers::paths_of(line)
                    && paths.iter().any(|other| other == path)
                {
                    owed.push(Owed {
                        seq,
                        kind,
                        enqueued_at: run.enqueued_at,
                    });
                }
            }
        }
    }
}

/// The answer in one sentence.
fn summary(found: &Explained, has_server: bool) -> String {
    let known = found.state.as_ref().and_then(|state| state.file.as_ref());
    let waits = found.state.as_ref().and_then(|state| state.waits_as);
    if found.scan.verdict == "ignored" {
        let rule = found.scan.rule.as_deref().unwrap_or("a rule");
        return format!("not sent: left out by {rule}");
    }
    if let Some(refused) = &found.refused {
        return format!("sent and refused by the server: {}", refused.detail);
    }
    if let Some(owed) = found.outbox.last() {
        return format!("waits in the outbox since {}", shown(owed.enqueued_at));
    }
    match (known, waits) {
        (_, Some("gone")) => "known to the server; it is gone, and its deletion is held or not decided yet".to_owned(),
        (Some(_), Some(_)) => "found, and not sent yet: the next complete scan tells whether it moved".to_owned(),
        (Some(_), None) if !has_server => "known; no server is configured, so nothing is sent".to_owned(),
        (Some(_), None) => "sent, and accepted by the server".to_owned(),
        (None, _) if found.scan.verdict == "scanned" => {
            "not sent yet: no scan has met it; the next one does".to_owned()
        }
        (None, _) => format!("not sent: {}", found.scan.detail),
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn text(found: &Explained) -> String {
    let mut out = String::new();
    // Writing to memory cannot fail.
    let _ = write_text(&mut out, found);
    out
}

fn write_text(out: &mut String, found: &Explained) -> fmt::Result {
    writeln!(out, "{}", printable(found.path.as_bytes()))?;
    writeln!(out, "  {}", found.summary)?;
    writeln!(out)?;
    write!(out, "scan     {}", found.scan.detail)?;
    match &found.scan.rule {
        Some(rule) if found.scan.verdict == "ignored" => writeln!(out, ": {rule}, at {}", found.scan.decided_at)?,
        Some(rule) => writeln!(out, "; kept by {rule}")?,
        None if found.scan.verdict != "scanned" => writeln!(out, ", at {}", found.scan.decided_at)?,
        None => writeln!(out)?,
    }
    match &found.state {
        None => writeln!(out, "state    nothing is known of it")?,
        Some(state) => write_state(out, state)?,
    }
    if let Some(scan) = &found.last_scan {
        writeln!(
            out,
            "         last scan: number {}, {}, begun {}",
            scan.id,
            scan.status,
            shown(scan.started_at)
        )?;
    }
    if found.outbox.is_empty() {
        writeln!(out, "outbox   no record about it waits")?;
    }
    for owed in &found.outbox {
        let Owed { seq, kind, enqueued_at } = owed;
        writeln!(
            out,
            "outbox   record {seq}, {kind}, waits since {}",
            shown(*enqueued_at)
        )?;
    }
    match (&found.refused, &found.server) {
        (Some(refused), _) => writeln!(
            out,
            "server   refused it at {}: {} ({})",
            shown(refused.refused_at),
            refused.detail,
            refused.code
        ),
        (None, Some(answer)) => writeln!(out, "server   last answer at {}: {}", shown(answer.at), answer.text),
        (None, None) => writeln!(out, "server   has not answered yet"),
    }
}

fn write_state(out: &mut String, state: &InState) -> fmt::Result {
    match &state.file {
        Some(file) => {
            let size = ByteSize::new(file.size).human();
            write!(
                out,
                "state    known: {size}, modified {}, mode {}",
                shown(file.mtime),
                file.mode
            )?;
            if let Some(hash) = &file.hash {
                write!(out, ", {hash}")?;
            }
            writeln!(out)?;
        }
        None => writeln!(out, "state    not known as a file of {}", state.root)?,
    }
    if let Some(side) = state.waits_as {
        writeln!(
            out,
            "         waits as {side} until a scan has decided whether it moved, or until it is accepted"
        )?;
    }
    match state.root_completed_at {
        Some(at) => writeln!(out, "         {} was last scanned whole at {}", state.root, shown(at)),
        None => writeln!(out, "         {} was never scanned whole", state.root),
    }
}
