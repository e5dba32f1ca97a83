//! Files of the state on standard output.
use crate::{cli::Output, encode::wire_kind, known::KnownFile};
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::ByteSize;
use daemon_kit::printable;
use fleet_wire::{FileKind, WirePath};
use serde::Serialize;
use std::io::{self, BufWriter, Write};

const CSV_HEADINGS: &str = "path,path_raw,type,size,mtime,mode,uid,gid,inode,mime,hash";

/// Prints files one by one.
pub(crate) struct Listing {
    output: Output,
    out: BufWriter<io::Stdout>,
    printed: u64,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    path: WirePath,
    #[serde(rename = "type")]
    kind: FileKind,
    size: u64,
    mtime: DateTime<Utc>,
    mode: String,
    uid: u32,
    gid: u32,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

impl Listing {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
            printed: 0,
        }
    }

    /// Prints one file; `false` when nobody reads any more.
    pub(crate) fn print(&mut self, file: &KnownFile<'_>) -> anyhow::Result<bool> {
        let row = Row {
            path: WirePath::from_bytes(file.path),
            kind: wire_kind(file.entry.kind()),
            size: file.entry.size,
            mtime: DateTime::from_timestamp_nanos(file.entry.mtime_ns),
            mode: format!("{:04o}", file.entry.permissions()),
            uid: file.entry.uid,
            gid: file.entry.gid,
            inode: file.entry.inode,
            mime: mime(file),
            hash: file.content.map(|content| content.hash.to_string()),
        };
        let written = self.write(&row);
        self.printed += 1;
        still_read(written)
    }

    fn write(&mut self, row: &Row) -> io::Result<()> {
        let out = &mut self.out;
        match self.output {
            Output::Table => {
                let size = ByteSize::new(row.size).human();
                let time = row.mtime.format("%Y-%m-%d %H:%M:%S");
                writeln!(out, "{size:>10}  {time}  {}", printable(row.path.as_bytes()))
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
                    writeln!(out, "{CSV_HEADINGS}")?;
                }
                let mut csv = csv::Writer::from_writer(out);
                let kind = serde_json::to_value(row.kind)?;
                csv.write_record([
                    row.path.display().as_ref(),
                    &row.path.raw().unwrap_or_default(),
                    kind.as_str().unwrap_or_default(),
                    &row.size.to_string(),
                    &row.mtime.to_rfc3339_opts(SecondsFormat::AutoSi, true),
                    &row.mode,
                    &row.uid.to_string(),
                    &row.gid.to_string(),
                    &row.inode.to_string(),
                    row.mime.unwrap_or_default(),
                    row.hash.as_deref().unwrap_or_default(),
                ])?;
                csv.flush()
            }
        }
    }

    /// What goes after the last one; gives how many there were.
    pub(crate) fn end(mut self) -> anyhow::Result<u64> {
        if self.output == Output::Csv && self.printed == 0 {
            still_read(writeln!(self.out, "{CSV_HEADINGS}"))?;
        }
        if self.output == Output::Json {
            let close = if self.printed == 0 { "[]" } else { "]" };
            still_read(writeln!(self.out, "{close}"))?;
        }
        still_read(self.out.flush())?;
        Ok(self.printed)
    }
}

/// The MIME type by extension, as a scan without looking at contents has it.
pub(crate) fn mime(file: &KnownFile<'_>) -> Option<&'static str> {
    let name = std::str::from_utf8(file.name).ok()?;
    (file.entry.kind() == fsscan::FileKind::File)
        .then(|| mime_guess::from_path(name).first_raw())
        .flatten()
}

// `scanner query … | head` is no failure.
fn still_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}
