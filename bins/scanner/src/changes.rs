//! Changes on standard output, as they are decided: columns, JSON, JSON lines or CSV.
use crate::{cli::Output, encode::FileBody};
use core_model::ByteSize;
use daemon_kit::printable;
use fsscan::{Change, FileMeta, Observer, PathError};
use serde::Serialize;
use std::{
    io::{self, BufWriter, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Prints changes to standard output and errors to the log.
pub(crate) struct Printer<'a> {
    output: Output,
    silent: bool,
    mime: bool,
    inner: Mutex<Inner>,
    /// Set when nobody reads any more, so that the scan ends as well.
    stop: &'a AtomicBool,
}

struct Inner {
    out: BufWriter<io::Stdout>,
    printed: u64,
    closed: bool,
}

impl<'a> Printer<'a> {
    /// A printer in the form of `output`; a `silent` one prints no changes, and `mime` says whether to print MIME types.
    pub(crate) fn new(output: Output, silent: bool, mime: bool, stop: &'a AtomicBool) -> Self {
        let out = BufWriter::with_capacity(64 << 10, io::stdout());
        Self {
            output,
            silent,
            mime,
            inner: Mutex::new(Inner {
                out,
                printed: 0,
                closed: false,
            }),
            stop,
        }
    }

    /// What goes before the first change.
    pub(crate) fn begin(&self) {
        if self.silent {
            return;
        }
        match self.output {
            Output::Csv => self.write(|out, _| {
                writeln!(
                    out,
                    "change,path,path_raw,from,from_raw,type,size,mtime,mode,uid,gid,mime,hash,changed"
                )
            }),
            // JSON is opened by what comes first, so that a scan that fails prints nothing that is half a document.
            Output::Table | Output::Json | Output::Jsonl => {}
        }
    }

    /// What goes after the last one; in JSON the summary.
    pub(crate) fn end(&self, summary: &impl Serialize) {
        match self.output {
            Output::Json => {
                let silent = self.silent;
                self.write(|out, printed| {
                    let close = match (silent, printed) {
                        (true, _) => "{\"summary\":",
                        (false, 0) => "{\"changes\":[],\"summary\":",
                        _ => "],\"summary\":",
                    };
                    out.write_all(close.as_bytes())?;
                    serde_json::to_writer(&mut *out, summary)?;
                    writeln!(out, "}}")
                });
            }
            Output::Jsonl if self.silent => self.write(|out, _| {
                serde_json::to_writer(&mut *out, summary)?;
                writeln!(out)
            }),
            _ => {}
        }
        self.write(|out, _| out.flush());
    }

    /// Whether somebody stopped reading before the end, so that changes were not shown.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    fn write(&self, work: impl FnOnce(&mut BufWriter<io::Stdout>, u64) -> io::Result<()>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return;
        }
        let printed = inner.printed;
        if let Err(error) = work(&mut inner.out, printed) {
            inner.closed = true;
            self.stop.store(true, Ordering::Relaxed);
            // `scanner … | head` is no failure.
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::error!(%error, "could not write to standard output");
            }
        }
        inner.printed += 1;
    }
}

impl Observer for Printer<'_> {
    fn change(&self, change: &Change<'_>) {
        // Where records are made, changes come though nobody here wants to see them.
        if self.silent {
            return;
        }
        match self.output {
            Output::Table => self.write(|out, _| row(out, change)),
            Output::Jsonl => self.write(|out, _| {
                serde_json::to_writer(&mut *out, &Line::of(change, self.mime))?;
                writeln!(out)
            }),
            Output::Json => self.write(|out, printed| {
                out.write_all(if printed == 0 { b"{\"changes\":[" } else { b"," as &[u8] })?;
                serde_json::to_writer(&mut *out, &Line::of(change, self.mime))?;
                Ok(())
            }),
            Output::Csv => self.write(|out, _| record(out, change)),
        }
    }

    fn error(&self, error: &PathError) {
        tracing::warn!(kind = error.kind.name(), "{error}");
    }

    fn wants_changes(&self) -> bool {
        !self.silent
    }
}

fn row(out: &mut impl Write, change: &Change<'_>) -> io::Result<()> {
    let size = |file: &FileMeta<'_>| ByteSize::new(file.size).human();
    match change {
        // Never told to an observer: it is no change.
        Change::Present { .. } => Ok(()),
        Change::Created { file } => writeln!(out, "created  {:>10}  {}", size(file), printable(file.path)),
        Change::Updated { file, changed } => {
            let what: Vec<&str> = changed.names().collect();
            writeln!(
                out,
                "updated  {:>10}  {}  ({})",
                size(file),
                printable(file.path),
                what.join(", ")
            )
        }
        Change::Moved { from, file } => {
            writeln!(
                out,
                "moved    {:>10}  {} -> {}",
                size(file),
                printable(from),
                printable(file.path)
            )
        }
        Change::Deleted { path } => writeln!(out, "deleted  {:>10}  {}", "", printable(path)),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<fleet_wire::WirePath>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    file: Option<FileBody<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    deleted: Option<fleet_wire::WirePath>,
}

impl<'a> Line<'a> {
    fn of(change: &Change<'a>, mime: bool) -> Self {
        let file = |change, file: &FileMeta<'a>, changed| Line {
            change,
            from: None,
            file: Some(FileBody::new(file, changed, mime)),
            deleted: None,
        };
        match change {
            Change::Present { file: meta } => file("present", meta, None),
            Change::Created { file: meta } => file("created", meta, None),
            Change::Updated { file: meta, changed } => file("updated", meta, Some(*changed)),
            Change::Moved { from, file: meta } => Line {
                from: Some(fleet_wire::WirePath::from_bytes(*from)),
                ..file("moved", meta, None)
            },
            Change::Deleted { path } => Line {
                change: "deleted",
                from: None,
                file: None,
                deleted: Some(fleet_wire::WirePath::from_bytes(*path)),
            },
        }
    }
}

fn record(out: &mut impl Write, change: &Change<'_>) -> io::Result<()> {
    let path = |bytes: &[u8]| {
        let path = fleet_wire::WirePath::from_bytes(bytes);
        [path.display().into_owned(), path.raw().unwrap_or_default()]
    };
    let (name, file, from, changed) = match change {
        Change::Present { file } => ("present", Some(file), None, None),
        Change::Created { file } => ("created", Some(file), None, None),
        Change::Updated { file, changed } => ("updated", Some(file), None, Some(*changed)),
        Change::Moved { from, file } => ("moved", Some(file), Some(*from), None),
        Change::Deleted { .. } => ("deleted", None, None, None),
    };
    let own = match change {
        Change::Deleted { path: gone } => path(gone),
        _ => path(file.map(|file| file.path).unwrap_or_default()),
    };
    let mut cells = vec![name.to_owned()];
    cells.extend(own);
    cells.extend(from.map(path).unwrap_or_default());
    match file {
        Some(file) => cells.extend(file_cells(file)),
        None => cells.extend((0..8).map(|_| String::new())),
    }
    cells.push(
        changed
            .map(|changed| changed.names().collect::<Vec<_>>().join(" "))
            .unwrap_or_default(),
    );
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(cells)?;
    csv.flush()
}

fn file_cells(file: &FileMeta<'_>) -> [String; 8] {
    let kind = serde_json::to_value(crate::encode::wire_kind(file.kind)).ok();
    [
        kind.and_then(|kind| kind.as_str().map(str::to_owned))
            .unwrap_or_default(),
        file.size.to_string(),
        chrono::DateTime::from_timestamp_nanos(file.mtime_ns).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        format!("{:04o}", file.mode),
        file.uid.to_string(),
        file.gid.to_string(),
        file.mime.unwrap_or_default().to_owned(),
        file.hash.map(|hash| hash.to_string()).unwrap_or_default(),
    ]
}
