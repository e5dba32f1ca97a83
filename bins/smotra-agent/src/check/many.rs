//! Many targets by one check: so many at once, shown in the order in which they were named.
use super::{repeat, show::failed};
use crate::{cli::CommonArgs, out::Lines, stop::Stop};
use daemon_kit::{Exit, Table, cli::Output, to_stdout};
use futures_util::{StreamExt as _, stream};
use netcheck::Failure;
use serde::Serialize;
use std::{future::Future, time::Duration};

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
    /// In a word or two, how it went.
    fn result(&self) -> String;
    /// How long what was well took.
    fn took(&self) -> Option<Duration>;
    /// For how many days the certificate is good.
    fn days(&self) -> Option<i64> {
        None
    }
    /// The target, as it was written.
    fn target(&self) -> &str;
    /// Why it is not well.
    fn failure(&self) -> Option<&Failure>;
}

/// Checks all targets, so many at a time as `common` says; again and again, where it says that.
pub(super) async fn run<R: Shown, F: Future<Output = R>>(
    targets: &[String],
    common: &CommonArgs,
    output: Output,
    check: impl Fn(String) -> F,
) -> anyhow::Result<Exit> {
    let stop = Stop::take()?;
    if common.again.live {
        return repeat::run(targets, common, &stop, output, check).await;
    }
    let checks = stream::iter(targets.iter().cloned()).map(check);
    let mut reports = checks.buffered(usize::from(common.parallel));
    let (mut table, mut remarks) = (Table::new(R::HEADINGS), String::new());
    let (mut all, mut lines) = (Vec::new(), Lines::to_stdout());
    while let Some(report) = stop.next(&mut reports).await {
        match output {
            // Whoever reads lines wants each as soon as it is there.
            Output::Jsonl => {
                lines.json(&report)?;
                lines.flush()?;
            }
            Output::Table => {
                table.row(report.cells());
                remarks.extend(report.remarks().into_iter().map(|remark| format!("{remark}\n")));
                remarks.extend(report.failure().map(|failure| failed(report.target(), failure)));
            }
            Output::Json => {}
        }
        all.push(report);
        if lines.is_closed() {
            break;
        }
    }
    match output {
        Output::Json => to_stdout(format_args!("{}\n", serde_json::to_string_pretty(&all)?))?,
        Output::Table => to_stdout(format_args!("{table}{remarks}"))?,
        Output::Jsonl => {}
    }
    let failures = all.iter().filter_map(Shown::failure);
    Ok(stop.exit(failures, targets.len() - all.len(), targets.len()))
}
