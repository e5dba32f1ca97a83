//! What came of pings, as it is printed.
use super::super::{
    show::{Told, doubted, failed, millis, percent},
    targets::Target,
};
use crate::out::Lines;
use daemon_kit::{Table, cli::Output, to_stdout};
use netcheck::{Failure, ping::PingReport};

/// What came of a target; a failure where it could not even be begun with.
pub(super) type Pinged = Result<PingReport, Failure>;

pub(super) fn show(targets: &[Target], all: &[Pinged], output: Output) -> anyhow::Result<()> {
    let told = targets.iter().zip(all);
    let told: Vec<Told<'_, PingReport>> = told.map(|(target, pinged)| Told::new(&target.name, pinged)).collect();
    match output {
        Output::Json => to_stdout(format_args!("{}\n", serde_json::to_string_pretty(&told)?))?,
        Output::Jsonl => {
            let mut lines = Lines::to_stdout();
            for told in told {
                lines.json(&told)?;
            }
            lines.flush()?;
        }
        Output::Table => to_stdout(table(&told))?,
    }
    Ok(())
}

fn table(told: &[Told<'_, PingReport>]) -> String {
    let headings = [
        "TARGET", "ADDRESS", "SENT", "LOSS", "MIN", "AVG", "MAX", "JITTER", "MOS",
    ];
    let mut table = (2..headings.len()).fold(Table::new(&headings), Table::right);
    let mut remarks = String::new();
    for Told {
        target,
        report,
        failure,
    } in told
    {
        let Some(report) = report else {
            table.row([*target, "-", "0"].into_iter().chain(["-"; 6]));
            remarks.extend(failure.map(|failure| failed(target, failure)));
            continue;
        };
        let times = report.times;
        table.row([
            (*target).to_owned(),
            report.address.to_string(),
            report.sent.to_string(),
            percent(report.loss),
            millis(times.map(|times| times.min)),
            millis(times.map(|times| times.avg)),
            millis(times.map(|times| times.max)),
            millis(report.jitter),
            report
                .quality
                .map_or_else(|| "-".to_owned(), |quality| format!("{:.2}", quality.mos)),
        ]);
        remarks.extend(report.failure.as_ref().map(|failure| failed(target, failure)));
        if report.unknown > 0 {
            let (unknown, sent) = (report.unknown, report.sent);
            remarks.push_str(&format!(
                "{target}: of {unknown} of {sent} probes nobody knows whether they were lost\n"
            ));
        }
        remarks.push_str(&doubted(target, report.trust.doubts()));
    }
    format!("{table}{remarks}")
}
