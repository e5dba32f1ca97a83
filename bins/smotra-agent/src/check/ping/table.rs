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
    let (mut remarks, mut own) = (String::new(), Own::default());
    for Told {
        target,
        report,
        failure,
    } in told
    {
        let Some(report) = report else {
            table.row([*target, "-", "0"].into_iter().chain(["-"; 6]));
            remarks.extend(failure.and_then(|failure| own.said(target, failure)));
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
        remarks.extend(report.failure.as_ref().and_then(|failure| own.said(target, failure)));
        if report.unknown > 0 {
            let (unknown, sent) = (report.unknown, report.sent);
            remarks.push_str(&format!(
                "{target}: of {unknown} of {sent} probes nobody knows whether they were lost\n"
            ));
        }
        remarks.push_str(&doubted(target, report.trust.doubts()));
    }
    format!("{table}{remarks}{}", own.text())
}

/// What is wrong on this machine is wrong for all targets, and said once.
#[derive(Default)]
struct Own<'t>(Vec<(&'t str, &'t Failure, usize)>);

impl<'t> Own<'t> {
    /// What there is to say of a failure now: nothing where it is our own, for others may have it too.
    fn said(&mut self, target: &'t str, failure: &'t Failure) -> Option<String> {
        if !failure.kind.is_own() {
            return Some(failed(target, failure));
        }
        match self.0.iter_mut().find(|(_, known, _)| *known == failure) {
            Some((_, _, others)) => *others += 1,
            None => self.0.push((target, failure, 0)),
        }
        None
    }

    fn text(&self) -> String {
        let lines = self.0.iter().map(|(target, failure, others)| match others {
            0 => failed(target, failure),
            others => failed(&format!("{target} and {others} more"), failure),
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck::FailureKind;

    #[test]
    fn what_is_wrong_with_this_machine_is_said_once_and_of_targets_each() {
        let own: Pinged = Err(Failure::new(FailureKind::Permission, "no rights"));
        let theirs: Pinged = Err(Failure::new(FailureKind::NameNotFound, "no such name"));
        let told = [&own, &theirs, &own, &theirs, &own];
        let names = ["a", "b", "c", "d", "e"];
        let told: Vec<_> = names
            .iter()
            .zip(told)
            .map(|(name, came)| Told::new(name, came))
            .collect();
        let text = table(&told);
        let said = |words: &str| text.lines().filter(|line| line.contains(words)).count();
        assert_eq!((said("no rights"), said("no such name")), (1, 2), "{text}");
        assert!(text.contains("a and 2 more: permission: no rights"), "{text}");
    }
}
