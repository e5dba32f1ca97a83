//! Traces again and again, each hop as it becomes known.
use super::{
    NAME_TIMEOUT, TraceArgs, ended,
    known::Known,
    options,
    probed::{Became, Probed},
};
use crate::{
    check::{
        show::{millis, percent},
        targets::Target,
    },
    live::{Board, Kind, Live, Tally, now},
    stop::Stop,
};
use core_model::Period;
use daemon_kit::{Exit, Table, cli::Output, to_stdout};
use futures_util::{StreamExt as _, future::join_all, stream::FuturesOrdered};
use netcheck::{
    Failure,
    trace::{self, Hop, PathChange, TraceOptions, TraceReport, Tracer},
};
use serde::Serialize;
use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    select,
    sync::{Notify, mpsc::Sender},
    time::{Instant, sleep_until},
};

/// So many rounds of a target are under way at a time.
const ROUNDS_MOST: usize = 16;
/// So many changes of a way are kept for the end, the latest.
const CHANGES_KEPT: usize = 1000;
/// From one trace of a target to the next, where nothing else is said.
const EVERY: Duration = Duration::from_secs(1);

/// What is told of a target at the end.
#[derive(Serialize)]
struct Told<'t> {
    target: &'t str,
    changes: &'t VecDeque<Changed>,
    failure: Option<&'t Failure>,
}

/// What came of a target, besides what is shown while it goes on.
#[derive(Default)]
struct Outcome {
    failure: Option<Failure>,
    changes: VecDeque<Changed>,
    /// Whether a trace of it is done, or cannot be.
    is_known: bool,
}

impl Outcome {
    /// A trace is done, or cannot be.
    fn ended(&mut self, failure: Option<Failure>) {
        (self.failure, self.is_known) = (failure, true);
    }

    fn note(&mut self, changed: Changed) {
        if self.changes.len() == CHANGES_KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(changed);
    }
}

/// A way that became another one.
#[derive(Serialize)]
struct Changed {
    at: String,
    /// So long after the first trace.
    after_s: u64,
    /// The first hop that differs.
    hop: usize,
    before: Vec<Option<IpAddr>>,
    after: Vec<Option<IpAddr>>,
}

/// Traces all targets until the count is reached or somebody stops it.
pub(super) async fn run(
    args: &TraceArgs,
    targets: &[Target],
    tracer: &Tracer,
    name_server: Option<SocketAddr>,
    stop: &Stop,
    output: Output,
) -> anyhow::Result<Exit> {
    let (live, tell) = Live::new(output, stop);
    let stopped = Notify::new();
    let outcomes: Vec<RefCell<Outcome>> = targets.iter().map(|_| RefCell::default()).collect();
    let series = targets.iter().zip(&outcomes).enumerate();
    let series = series.map(|(number, (target, outcome))| {
        let series = Series {
            args,
            target,
            first: number * usize::from(args.max_hops),
            is_alone: targets.len() == 1,
            tracer,
            name_server,
            tell: &tell,
        };
        series.follow(outcome)
    });
    let work = async {
        select! {
            _all = join_all(series) => {}
            () = stopped.notified() => {}
        }
    };
    let board = Board::new(Kind::Hops, rows(targets, args.max_hops), None);
    let ((), board) = live.follow(board, work, || stopped.notify_one()).await?;
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(RefCell::into_inner).collect();
    match output {
        Output::Table => to_stdout(text(&board, targets, &outcomes))?,
        Output::Json | Output::Jsonl => {
            for (target, outcome) in targets.iter().zip(&outcomes) {
                let told = Told {
                    target: &target.name,
                    changes: &outcome.changes,
                    failure: outcome.failure.as_ref(),
                };
                to_stdout(format_args!("{}\n", serde_json::to_string(&told)?))?;
            }
        }
    }
    let unknown = outcomes.iter().filter(|outcome| !outcome.is_known).count();
    let failures = outcomes.iter().filter_map(|outcome| outcome.failure.as_ref());
    Ok(stop.exit(failures, unknown, outcomes.len()))
}

/// A row for every hop that there may be; it is shown once something is known of it.
fn rows(targets: &[Target], hops: u8) -> Vec<Tally> {
    let of = |target: &Target| {
        let first = match &target.address {
            Ok(_) => Tally::new(""),
            Err(failure) => Tally::of_failure(&target.name, failure),
        };
        std::iter::once(first).chain((1..hops).map(|_| Tally::new("")))
    };
    targets.iter().flat_map(of).collect()
}

/// The traces of one target.
struct Series<'s> {
    args: &'s TraceArgs,
    target: &'s Target,
    /// Its first row.
    first: usize,
    is_alone: bool,
    tracer: &'s Tracer,
    name_server: Option<SocketAddr>,
    tell: &'s Sender<Probed>,
}

impl Series<'_> {
    async fn follow(self, outcome: &RefCell<Outcome>) {
        let address = match &self.target.address {
            Ok(address) => *address,
            Err(failure) => {
                outcome.borrow_mut().ended(Some(failure.clone()));
                return;
            }
        };
        let options = TraceOptions {
            count: 1,
            ..options(self.args, address)
        };
        let every = self.args.interval.map_or(EVERY, Period::get);
        let count = self.args.count.filter(|count| *count > 0).map_or(u64::MAX, u64::from);
        let (began, mut due, mut sent) = (Instant::now(), Instant::now(), 0);
        let (mut known, mut names) = (Known::new(options.first_hop), HashMap::new());
        let mut under_way = FuturesOrdered::new();
        // A round is begun when it is due, whatever has become of the one before: so bad times count as often as good ones.
        while sent < count || !under_way.is_empty() {
            let report = select! {
                () = sleep_until(due), if sent < count && under_way.len() < ROUNDS_MOST => {
                    let options = TraceOptions { min_hops: known.length(), ..options };
                    under_way.push_back(self.tracer.trace(address, options));
                    (sent, due) = (sent + 1, (due + every).max(Instant::now()));
                    continue;
                }
                Some(report) = under_way.next() => report,
                else => break,
            };
            // What cannot begin does not begin the next time either.
            if report.hops.is_empty() && report.failure.as_ref().is_some_and(|failure| failure.kind.is_own()) {
                outcome.borrow_mut().ended(report.failure);
                return;
            }
            let (number, mut report) = (known.rounds, report);
            self.name(&mut report, &mut names).await;
            let length = known.length();
            let change = known.observe(&report);
            {
                let mut outcome = outcome.borrow_mut();
                outcome.ended(report.failure.clone());
                if let Some(change) = change {
                    outcome.note(Changed::new(began.elapsed(), options.first_hop, change));
                }
            }
            let hops = known.hops(&report);
            let hops = hops.map(|(hop, outcome)| self.probed(number, hop, outcome));
            // Nobody is there any more.
            let gone = (known.length()..length).map(|nearer| {
                let hop = Hop {
                    hop: nearer + 1,
                    ..Hop::default()
                };
                self.probed(number, &hop, Became::Gone)
            });
            for probed in hops.chain(gone) {
                // Where nobody listens any more, this is about to be stopped.
                let _told = self.tell.send(probed).await;
            }
        }
    }

    /// Names are asked for once.
    async fn name(&self, report: &mut TraceReport, names: &mut HashMap<IpAddr, Option<String>>) {
        let Some(server) = self.name_server else { return };
        let routers = || report.hops.iter().flat_map(|hop| &hop.routers);
        if routers().any(|router| !names.contains_key(&router.address)) {
            trace::names(std::slice::from_mut(report), server, NAME_TIMEOUT).await;
        }
        for router in report.hops.iter_mut().flat_map(|hop| &mut hop.routers) {
            let known = names.entry(router.address).or_insert_with(|| router.name.clone());
            router.name.clone_from(known);
        }
    }

    fn probed(&self, number: u64, hop: &Hop, outcome: Became) -> Probed {
        let router = hop.routers.first();
        Probed {
            index: self.first + usize::from(hop.hop) - 1,
            is_one_of_several: !self.is_alone,
            at: now(),
            target: self.target.name.clone(),
            number,
            hop: hop.hop,
            address: router.map(|router| router.address),
            name: router.and_then(|router| router.name.clone()),
            rtt: router.and_then(|router| router.times).map(|times| times.min),
            outcome,
        }
    }
}

/// What all of it came to.
fn text(board: &Board, targets: &[Target], outcomes: &[Outcome]) -> String {
    let headings = ["HOP", "SENT", "SILENT", "LOSS", "LAST", "MIN", "AVG", "MAX", "JITTER"];
    let mut table = (1..headings.len()).fold(Table::new(&headings), Table::right);
    for tally in board.tallies.iter().filter(|tally| tally.sent > 0) {
        let times = tally.times;
        table.row([
            tally.target.clone(),
            tally.sent.to_string(),
            percent(Some((tally.sent - tally.answered()) as f64 / tally.sent as f64)),
            percent(tally.loss()),
            millis(tally.last),
            millis(times.map(|times| times.min)),
            millis(times.map(|times| times.avg())),
            millis(times.map(|times| times.max)),
            millis(tally.jitter()),
        ]);
    }
    let mut text = table.to_string();
    for (target, outcome) in targets.iter().zip(outcomes) {
        text.extend(outcome.changes.iter().map(|changed| changed.text(&target.name)));
        text.extend(outcome.failure.as_ref().map(|failure| ended(&target.name, failure)));
    }
    text
}

impl Changed {
    fn new(after: Duration, first_hop: u8, change: PathChange) -> Self {
        Self {
            at: now(),
            after_s: after.as_secs(),
            hop: change.at + usize::from(first_hop),
            before: change.before,
            after: change.after,
        }
    }

    fn text(&self, target: &str) -> String {
        let who = |router: &Option<IpAddr>| router.map_or_else(|| "*".to_owned(), |router| router.to_string());
        let way = |routers: &[Option<IpAddr>]| routers.iter().map(who).collect::<Vec<_>>().join(" ");
        let (at, hop, before, after) = (&self.at, self.hop, way(&self.before), way(&self.after));
        format!("{target}: at {at} the way changed at hop {hop}: {before} became {after}\n")
    }
}
