//! The controller's client: what operators type.
mod agent_config;
mod agents;
mod claims;
mod columns;
mod commands;
mod compliance;
mod detections;
mod files;
mod groups;
mod join_tokens;
mod scans;
mod session;
mod statistics;

pub(crate) use agent_config::agent_config;
pub(crate) use agents::agents;
pub(crate) use claims::{claim, claims};
pub(crate) use commands::commands;
pub(crate) use compliance::compliance;
pub(crate) use detections::detections;
pub(crate) use files::files;
pub(crate) use groups::groups;
pub(crate) use join_tokens::join_tokens;
pub(crate) use scans::scans;
pub(crate) use session::{login, logout};
pub(crate) use statistics::statistics;

use crate::cli::Output;
use anyhow::Context as _;
use daemon_kit::escaped;
use fleet_api::rest::List;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    future::Future,
    io::{self, Write},
};
use transport_http::{Client, SendError};

/// Rows asked for at once.
const PAGE: usize = 1000;

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(work)
}

/// Says what to do about the errors that everybody meets.
fn explain(error: SendError) -> anyhow::Error {
    let status = error.status().map(|status| status.as_u16());
    let error = anyhow::Error::from(error);
    if status == Some(401) {
        return error.context("not signed in, or the sign-in has ended: run `fleet-controller login`");
    }
    error
}

/// Asks for page after page and gives each row to `each`, at most `limit` of them (0: all).
async fn for_each<Q: Serialize, T: DeserializeOwned>(
    client: &Client,
    path: &str,
    mut query: Q,
    limit: usize,
    set: impl Fn(&mut Q, Option<String>, usize),
    mut each: impl FnMut(T) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut left = if limit == 0 { usize::MAX } else { limit };
    let mut cursor = None;
    while left > 0 {
        set(&mut query, cursor.take(), left.min(PAGE));
        let asked = serde_urlencoded::to_string(&query).context("could not write the query")?;
        let page: List<T> = client.get_json(&format!("{path}?{asked}")).await.map_err(explain)?;
        for item in page.items {
            left = left.saturating_sub(1);
            if !each(item)? {
                return Ok(());
            }
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
    Ok(())
}

/// How a row is shown to people.
trait Shown<T> {
    /// What can be shown now that the row is there: whole lines.
    fn row(&mut self, row: &T) -> String;

    /// What was held back, at the end.
    fn rest(&mut self) -> String {
        String::new()
    }
}

impl<T, F: FnMut(&T) -> String> Shown<T> for F {
    fn row(&mut self, row: &T) -> String {
        self(row) + "\n"
    }
}

/// Rows on standard output as they come, in the form that was asked for.
struct Rows<S> {
    output: Output,
    out: io::BufWriter<io::Stdout>,
    printed: u64,
    shown: S,
}

impl<S> Rows<S> {
    /// `shown` makes the lines for people.
    fn new<T>(output: Output, shown: S) -> Self
    where
        S: Shown<T>,
    {
        let out = io::BufWriter::new(io::stdout());
        Self {
            output,
            out,
            printed: 0,
            shown,
        }
    }

    /// Prints a row; `false` when nobody reads any more.
    fn print<T: Serialize>(&mut self, row: &T) -> anyhow::Result<bool>
    where
        S: Shown<T>,
    {
        let text = match self.output {
            Output::Table => self.shown.row(row),
            Output::Jsonl => serde_json::to_string(row)? + "\n",
            Output::Json => {
                let open = if self.printed == 0 { "[" } else { "," };
                open.to_owned() + &serde_json::to_string(row)?
            }
        };
        self.printed += 1;
        still_read(self.out.write_all(escaped(&text).as_bytes()))
    }

    fn end<T>(mut self) -> anyhow::Result<()>
    where
        S: Shown<T>,
    {
        let text = match self.output {
            Output::Table => self.shown.rest(),
            Output::Json if self.printed == 0 => "[]\n".to_owned(),
            Output::Json => "]\n".to_owned(),
            Output::Jsonl => String::new(),
        };
        still_read(
            self.out
                .write_all(escaped(&text).as_bytes())
                .and_then(|()| self.out.flush()),
        )
        .map(|_| ())
    }
}

// `… | head` is no failure.
fn still_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Prints one document: `json` on one line, or the text for people.
fn print_one<T: Serialize>(output: Output, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    let text = match output {
        Output::Table => text(value),
        Output::Json | Output::Jsonl => serde_json::to_string(value)? + "\n",
    };
    still_read(io::stdout().write_all(escaped(&text).as_bytes())).map(|_| ())
}
