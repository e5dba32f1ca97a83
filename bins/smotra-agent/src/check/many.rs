//! Many targets by one check: so many at once, shown in the order in which they were named.
use super::{exit, show::failed};
use daemon_kit::{Exit, Table, cli::Output, to_stdout};
use futures_util::{StreamExt as _, stream};
use netcheck::Failure;
use serde::Serialize;
use std::future::Future;

/// What is shown of a report in a table.
pub(super) trait Shown: Serialize {
    /// The headings of its columns.
    const HEADINGS: &'static [&'static str];
    /// Its cells.
    fn cells(&self) -> Vec<String>;
    /// What else there is to say, each on a line of its own.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
    /// The target, as it was written.
    fn target(&self) -> &str;
    /// Why it is not well.
    fn failure(&self) -> Option<&Failure>;
}

/// Checks all targets, `parallel` at a time.
pub(super) async fn run<R: Shown, F: Future<Output = R>>(
    targets: &[String],
    parallel: u16,
    output: Output,
    check: impl Fn(String) -> F,
) -> anyhow::Result<Exit> {
    let checks = stream::iter(targets.iter().cloned()).map(check);
    let mut reports = checks.buffered(usize::from(parallel));
    let (mut table, mut remarks) = (Table::new(R::HEADINGS), String::new());
    let mut all = Vec::new();
    while let Some(report) = reports.next().await {
        match output {
            // Whoever reads lines wants each as soon as it is there.
            Output::Jsonl => to_stdout(format_args!("{}\n", serde_json::to_string(&report)?))?,
            Output::Table => {
                table.row(report.cells());
                remarks.extend(report.remarks().into_iter().map(|remark| format!("{remark}\n")));
                remarks.extend(report.failure().map(|failure| failed(report.target(), failure)));
            }
            Output::Json => {}
        }
        all.push(report);
    }
    match output {
        Output::Json => to_stdout(format_args!("{}\n", serde_json::to_string_pretty(&all)?))?,
        Output::Table => to_stdout(format_args!("{table}{remarks}"))?,
        Output::Jsonl => {}
    }
    Ok(exit(all.iter().filter_map(Shown::failure)))
}
