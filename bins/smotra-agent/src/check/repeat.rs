//! The same checks again and again, each shown as soon as it is there.
use super::{
    many::Shown,
    show::{failed, millis},
};
use crate::{
    cli::CommonArgs,
    live::{Board, Kind, Live, Mark, News, Tally, now},
    stop::Stop,
};
use daemon_kit::{Exit, Table, cli::Output, to_stdout};
use futures_util::future::join_all;
use serde::Serialize;
use std::future::Future;
use tokio::{
    select,
    sync::{Notify, Semaphore, mpsc::Sender},
    time::{Instant, sleep_until},
};

/// What came of one of the checks of a target.
struct Checked<R> {
    index: usize,
    number: u64,
    report: R,
}

/// The same, as it is told.
#[derive(Serialize)]
struct Told<'t, R> {
    at: String,
    number: u64,
    #[serde(flatten)]
    report: &'t R,
}

impl<R: Shown> News for Checked<R> {
    fn index(&self) -> usize {
        self.index
    }

    fn tell(&self, tally: &mut Tally) {
        let failure = self.report.failure();
        tally.add(match (failure, self.report.took()) {
            (Some(failure), _) if failure.kind.is_own() => Mark::Unsent,
            (Some(_), _) => Mark::Failed,
            (None, Some(time)) => Mark::Time(time),
            (None, None) => Mark::Unknown,
        });
        tally.result = self.report.result();
        tally.days = self.report.days();
        tally.failure = failure.cloned();
    }

    fn line(&self, target: &str) -> String {
        let (number, result) = (self.number, self.report.result());
        match (self.report.failure(), self.report.took()) {
            (Some(failure), _) => format!("{target} {number}: {result}: {failure}"),
            (None, Some(time)) => format!("{target} {number}: {result} {} ms", millis(Some(time))),
            (None, None) => format!("{target} {number}: {result}"),
        }
    }

    fn object<'n>(&'n self, _target: &'n str) -> impl Serialize + 'n {
        Told {
            at: now(),
            number: self.number,
            report: &self.report,
        }
    }
}

/// Checks all targets until the count is reached or somebody stops it.
pub(super) async fn run<R: Shown, F: Future<Output = R>>(
    targets: &[String],
    common: &CommonArgs,
    stop: &Stop,
    output: Output,
    check: impl Fn(String) -> F,
) -> anyhow::Result<Exit> {
    let (live, tell) = Live::new(output, stop);
    let count = Some(u64::from(common.again.count)).filter(|count| *count > 0);
    let (permits, stopped) = (Semaphore::new(common.parallel.into()), Notify::new());
    let series = targets.iter().enumerate();
    let series = series.map(|(index, target)| repeat(index, target, targets.len(), common, &permits, &tell, &check));
    let work = async {
        select! {
            _all = join_all(series) => {}
            () = stopped.notified() => {}
        }
    };
    let tallies = targets.iter().map(|target| Tally::new(target)).collect();
    let board = Board::new(Kind::Checks, tallies, count);
    let ((), board) = live.follow(board, work, || stopped.notify_one()).await?;
    if output == Output::Table {
        to_stdout(table(&board))?;
    }
    let failures = board.tallies.iter().filter_map(|tally| tally.failure.as_ref());
    Ok(stop.exit(failures, unknown(&board), targets.len()))
}

/// Of so many targets no check is done.
fn unknown(board: &Board) -> usize {
    let is_unknown = |tally: &&Tally| tally.sent == 0 && tally.failure.is_none();
    board.tallies.iter().filter(is_unknown).count()
}

/// Checks one target, from its part of the interval on: those of many targets are spread over it.
async fn repeat<R, F: Future<Output = R>>(
    index: usize,
    target: &str,
    among: usize,
    common: &CommonArgs,
    permits: &Semaphore,
    tell: &Sender<Checked<R>>,
    check: impl Fn(String) -> F,
) {
    let interval = common.again.interval.get();
    let mut due = Instant::now() + interval.mul_f64(index as f64 / among as f64);
    let count = common.again.count;
    for number in (0_u64..).take_while(|number| count == 0 || *number < count.into()) {
        sleep_until(due).await;
        // It is never closed.
        let permit = permits.acquire().await;
        let report = check(target.to_owned()).await;
        drop(permit);
        // Where nobody listens any more, this is about to be stopped.
        let _told = tell.send(Checked { index, number, report }).await;
        // What takes longer than the interval is not made up for.
        due = (due + interval).max(Instant::now());
    }
}

fn table(board: &Board) -> String {
    let headings = [
        "TARGET", "CHECKS", "FAILED", "RESULT", "LAST", "MIN", "AVG", "MAX", "DAYS",
    ];
    // A certificate is nothing that every check has.
    let has_days = board.tallies.iter().any(|tally| tally.days.is_some());
    let columns = headings.len() - usize::from(!has_days);
    let right = [1, 2].into_iter().chain(4..columns);
    let mut table = right.fold(Table::new(&headings[..columns]), Table::right);
    let mut remarks = String::new();
    for tally in &board.tallies {
        let dash = || "-".to_owned();
        let times = tally.times;
        let cells = [
            tally.target.clone(),
            tally.sent.to_string(),
            tally.failed.to_string(),
            if tally.result.is_empty() {
                dash()
            } else {
                tally.result.clone()
            },
            millis(tally.last),
            millis(times.map(|times| times.min)),
            millis(times.map(|times| times.avg())),
            millis(times.map(|times| times.max)),
            tally.days.map_or_else(dash, |days| days.to_string()),
        ];
        table.row(cells.into_iter().take(columns));
        remarks.extend(tally.failure.as_ref().map(|failure| failed(&tally.target, failure)));
    }
    format!("{table}{remarks}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::exit,
        live::tests::{screen, words},
    };
    use netcheck::tcp::{self, TcpOptions};
    use std::net::{TcpListener, UdpSocket};

    #[tokio::test]
    async fn a_service_that_comes_back_is_well_and_its_failures_are_remembered() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        // Nobody listens there, and nobody else gets the port meanwhile.
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let [open, deaf] = [open.local_addr().unwrap(), taken.local_addr().unwrap()].map(|at| at.to_string());
        let wrong = "nowhere".to_owned();
        let options = TcpOptions::default();
        let mut board = Board::new(Kind::Checks, vec![Tally::new("gate"), Tally::new("wrong")], None);
        assert_eq!(unknown(&board), 2);
        let mut lines = Vec::new();
        for (index, number, target) in [(0, 0, &deaf), (0, 1, &open), (1, 0, &wrong)] {
            let report = tcp::check(target, &options).await;
            let checked = Checked { index, number, report };
            lines.push(checked.line("gate"));
            assert!(board.add(&checked).is_some());
        }
        assert_eq!(unknown(&board), 0, "that it cannot be checked is known");
        assert_eq!(lines[0], format!("gate 0: refused: {deaf}: nobody listens there"));
        assert!(
            lines[1].starts_with("gate 1: connected ") && lines[1].ends_with(" ms"),
            "{lines:?}"
        );

        let usual = screen(&board, 80, 24);
        assert_eq!(usual[0], "1 of 2 not well   Ctrl-C ends   3 checks   3 s");
        let (gate, wrong) = (words(&usual[2]), words(&usual[3]));
        assert_eq!(
            (gate[..4].to_vec(), gate[8]),
            (vec!["gate", "connected", "2", "1"], "!▁")
        );
        assert_eq!(wrong[..4], ["wrong", "invalid", "0", "0"], "it could not be checked");
        let tiny = screen(&board, 40, 3);
        assert_eq!(words(&tiny[1]), ["TARGET", "RESULT", "LATEST"]);
        assert_eq!(tiny[2], "and 2 more, 1 not well");

        let table = table(&board);
        assert!(
            table.contains("wrong: invalid: ") && !table.contains("gate: "),
            "{table}"
        );
        assert_eq!(
            exit(board.tallies.iter().filter_map(|tally| tally.failure.as_ref())),
            Exit::Environment
        );
    }
}
