//! `scanner changes`: what changed within some time, from the journal of the state, without the server or the disk.
use crate::{
    cli::{ChangesArgs, Output},
    context::Context,
    request,
};
use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::ByteSize;
use daemon_kit::{Exit, printable};
use fleet_wire::{FileChange, FileRecord, WirePath};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use state_sqlite::Journal;
use std::{
    io::{self, BufWriter, Stdout, Write},
    ops::ControlFlow,
};

pub(crate) fn run(context: &Context, args: &ChangesArgs) -> anyhow::Result<Exit> {
    let database = context.open_state(Some(crate::cli::Which::Run))?;
    let since = Utc::now() - args.since.get();
    let under = args.path.as_deref().map(request::absolute).transpose()?;
    let under = under.map(|path| path.into_os_string().into_encoded_bytes());
    let mut out = Printer::new(context.output, args.limit.unwrap_or(u64::MAX));
    let mut failed = None;
    Journal::open(&database)?.since(since, &mut |_, body| {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            match print(&mut out, line, under.as_deref()) {
                Ok(true) => {}
                Ok(false) => return ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    match failed {
        Some(error) => Err(error),
        None => out.end().map(|()| Exit::Done),
    }
}

/// Prints a record of the journal if it is asked for; `false` when enough is printed or nobody reads any more.
fn print(out: &mut Printer, line: &[u8], under: Option<&[u8]>) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Record<'a> {
        kind: String,
        time: DateTime<Utc>,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let record: Record<'_> = serde_json::from_slice(line).context("the journal holds what is no record")?;
    let change = FileChange::from_record(&record.kind, record.body)?;
    let (name, from, path, file) = match change {
        // Named for the server's sake, and no change.
        FileChange::Present(_) => return Ok(true),
        FileChange::Created(file) => ("created", None, file.path.clone(), Some(file)),
        FileChange::Updated(file) => ("updated", None, file.path.clone(), Some(file)),
        FileChange::Moved { from, file } => ("moved", Some(from), file.path.clone(), Some(file)),
        FileChange::Deleted { path } => ("deleted", None, path, None),
    };
    let lies_in = |path: &WirePath| {
        under.is_none_or(|dir| {
            let rest = path.as_bytes().strip_prefix(dir);
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || dir.ends_with(b"/"))
        })
    };
    if !lies_in(&path) && !from.as_ref().is_some_and(lies_in) {
        return Ok(true);
    }
    out.print(&Row {
        time: record.time,
        change: name,
        path,
        from,
        file,
    })
}

#[derive(Serialize)]
struct Row {
    time: DateTime<Utc>,
    change: &'static str,
    #[serde(flatten)]
    path: WirePath,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<WirePath>,
    /// As it was after the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileRecord>,
}

struct Printer {
    output: Output,
    out: BufWriter<Stdout>,
    printed: u64,
    limit: u64,
}

impl Printer {
    fn new(output: Output, limit: u64) -> Self {
        Self {
            output,
            out: BufWriter::new(io::stdout()),
            printed: 0,
            limit,
        }
    }

    fn print(&mut self, row: &Row) -> anyhow::Result<bool> {
        if self.printed >= self.limit {
            return Ok(false);
        }
        let written = self.write(row);
        self.printed += 1;
        still_read(written)
    }

    fn write(&mut self, row: &Row) -> io::Result<()> {
        let out = &mut self.out;
        let time = row.time.to_rfc3339_opts(SecondsFormat::Secs, true);
        match self.output {
            Output::Table => {
                let size = row
                    .file
                    .as_ref()
                    .map_or(String::new(), |file| ByteSize::new(file.size).human());
                let path = printable(row.path.as_bytes());
                write!(out, "{time}  {:<8} {size:>10}  ", row.change)?;
                match (&row.from, &row.file) {
                    (Some(from), _) => writeln!(out, "{} -> {path}", printable(from.as_bytes())),
                    (None, Some(file)) if !file.changed.is_empty() => {
                        writeln!(out, "{path}  ({})", file.changed.join(", "))
                    }
                    _ => writeln!(out, "{path}"),
                }
            }
            Output::Jsonl => {
                serde_json::to_writer(&mut *out, row)?;
                writeln!(out)
            }
            Output::Json => {
                out.write_all(if self.printed == 0 { b"[" } else { b"," })?;
                Ok(serde_json::to_writer(out, row)?)
            }
            Output::Csv => {
                if self.printed == 0 {
                    writeln!(out, "time,change,path,path_raw,from,from_raw,size,changed")?;
                }
                let both = |path: Option<&WirePath>| {
                    path.map_or_else(Default::default, |path| {
                        [path.display().into_owned(), path.raw().unwrap_or_default()]
                    })
                };
                let [path, raw] = both(Some(&row.path));
                let [from, from_raw] = both(row.from.as_ref());
                let size = row.file.as_ref().map_or(String::new(), |file| file.size.to_string());
                let changed = row.file.as_ref().map_or(String::new(), |file| file.changed.join(" "));
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record([&time, row.change, &path, &raw, &from, &from_raw, &size, &changed])?;
                csv.flush()
            }
        }
    }

    fn end(mut self) -> anyhow::Result<()> {
        if self.output == Output::Json {
            let close = if self.printed == 0 { "[]" } else { "]" };
            still_read(writeln!(self.out, "{close}"))?;
        }
        still_read(self.out.flush())?;
        Ok(())
    }
}

// `scanner changes … | head` is no failure.
fn still_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}
