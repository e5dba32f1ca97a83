//! `check ping`.
mod live;
mod table;

use super::targets::{self, Target};
use crate::{
    cli::TargetArgs,
    live::{Board, Kind, Live, Tally},
    out::to_stderr,
    seconds::seconds,
    stop::Stop,
};
use clap::Args;
use core_model::Period;
use daemon_kit::{Exit, cli::Output};
use live::Probed;
use netcheck::{
    Failure,
    ping::{COUNT_MOST, ENDLESS, PingOptions, Pinger, PingerOptions, Pinging},
};
use std::{net::IpAddr, pin::pin, time::Duration};
use table::{Pinged, show};
use tokio::{select, time::sleep};

/// Whoever has stopped it and waits for longer than this is told what for.
const SOON: Duration = Duration::from_millis(500);

/// How targets are pinged.
#[derive(Clone, Debug, Args)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// How long a name server may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = seconds)]
    resolve_timeout: Period,
    /// How many probes each target gets; with `--live`, 0 is until Ctrl-C.
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=i64::from(COUNT_MOST)))]
    count: u32,
    /// From one probe of a target to the next.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = seconds)]
    interval: Period,
    /// How long an answer may take.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "1s", value_parser = seconds)]
    timeout: Period,
    /// Payload of a probe, in bytes.
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(20..=65_507))]
    size: u16,
    /// The time to live (hop limit) of a probe.
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    ttl: Option<u8>,
    /// Routers may not split a probe.
    #[arg(short = 'M', long)]
    dont_fragment: bool,
    /// The traffic class of a probe (DSCP and ECN), 0 to 255.
    #[arg(short = 'Q', long, value_name = "CLASS", default_value_t = 0)]
    class: u8,
    /// Send from this address, one of this machine's [default: the one that its routes choose].
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// Send so many probes a second at the most, to all targets together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Show each probe as soon as it is known what became of it.
    ///
    /// On a terminal that is a table, painted in place: a row for each target, the worst first where there is no room for all.
    /// Times are milliseconds. LATEST is a character for each of the latest probes: higher is longer (▁ up to 1 ms, ▂ 3, ▃ 10,
    /// ▄ 30, ▅ 100, ▆ 300, ▇ 1 s, █ more), `!` without an answer, `?` where nobody knows, `-` not sent. Ctrl-C ends it, with the
    /// final table; a second one does not wait for what is under way. Elsewhere it is a line for each probe, and with
    /// `--output jsonl` an object.
    #[arg(short, long)]
    live: bool,
    /// With JSON, tell each probe besides what follows from all of them.
    #[arg(long)]
    samples: bool,
}

impl PingArgs {
    /// What cannot be meant.
    pub(crate) fn mistake(&self, output: Output) -> Option<&'static str> {
        if !self.live {
            return (self.count == ENDLESS).then_some("`--count 0` never ends, and so wants `--live`");
        }
        super::live_mistake(output)
    }
}

pub(crate) async fn run(args: &PingArgs, output: Output) -> anyhow::Result<Exit> {
    let targets = targets::resolved(&args.targets, args.source, args.resolve_timeout.get()).await?;
    let stop = Stop::take()?;
    let pinger = Pinger::start(PingerOptions {
        rate: args.rate,
        source: args.source,
        ..PingerOptions::default()
    });
    let mut all = if args.live {
        followed(args, &targets, &pinger, &stop, output).await?
    } else {
        let ping = |pinger: &Pinger, _, address, options| pinger.ping(address, options);
        until_stopped(gathered(begun(args, &targets, &pinger, ping)), &pinger, &stop).await
    };
    if !args.samples {
        all.iter_mut().flatten().for_each(|report| report.samples = Vec::new());
    }
    show(&targets, &all, output)?;
    let unknown = all.iter().filter(|pinged| is_unknown(pinged)).count();
    Ok(stop.exit(all.iter().filter_map(failure), unknown, all.len()))
}

/// Whoever stops it wants to know what came until then: no more is sent, and what is under way has its time.
async fn until_stopped(
    work: impl Future<Output = Vec<Pinged>>,
    pinger: &Result<Pinger, Failure>,
    stop: &Stop,
) -> Vec<Pinged> {
    let mut work = pin!(work);
    select! {
        biased;
        _signal = stop.asked() => pinger.iter().for_each(Pinger::wind_down),
        all = &mut work => return all,
    }
    select! {
        all = &mut work => all,
        () = sleep(SOON) => {
            to_stderr("waiting for the pings under way; once more (Ctrl-C) ends it at once");
            work.await
        }
    }
}

/// Shows each probe as it becomes known.
async fn followed(
    args: &PingArgs,
    targets: &[Target],
    pinger: &Result<Pinger, Failure>,
    stop: &Stop,
    output: Output,
) -> anyhow::Result<Vec<Pinged>> {
    let (live, tell) = Live::new(output, stop);
    let under_way = begun(args, targets, pinger, |pinger, index, address, options| {
        let tell = tell.clone();
        pinger.watch(address, options, move |sample| {
            let sample = sample.clone();
            // Where nobody listens any more the run is about to end, and its report has all of it.
            let _told = tell.blocking_send(Probed { index, sample });
        })
    });
    let tallies = targets.iter().zip(&under_way).map(|(target, begun)| match begun {
        Ok(_) => Tally::new(&target.name),
        Err(failure) => Tally::of_failure(&target.name, failure),
    });
    let each = (args.count != ENDLESS).then_some(args.count.into());
    let board = Board::new(Kind::Pings, tallies.collect(), each);
    let wind_down = || pinger.iter().for_each(Pinger::wind_down);
    let (all, _board) = live.follow(board, gathered(under_way), wind_down).await?;
    Ok(all)
}

/// Begins with all targets.
fn begun(
    args: &PingArgs,
    targets: &[Target],
    pinger: &Result<Pinger, Failure>,
    ping: impl Fn(&Pinger, usize, IpAddr, PingOptions) -> Pinging,
) -> Vec<Result<Pinging, Failure>> {
    let begun = spread(args, targets).enumerate().map(|(index, (target, options))| {
        let (address, pinger) = (target.address.clone()?, pinger.as_ref().map_err(Clone::clone)?);
        Ok(ping(pinger, index, address, options))
    });
    begun.collect()
}

/// What came of each.
async fn gathered(under_way: Vec<Result<Pinging, Failure>>) -> Vec<Pinged> {
    let mut all: Vec<Pinged> = Vec::with_capacity(under_way.len());
    // From the last one on: by then most others have ended, and who waits is woken a few times, not for each.
    for pinging in under_way.into_iter().rev() {
        all.push(match pinging {
            Ok(pinging) => Ok(pinging.await),
            Err(failure) => Err(failure),
        });
    }
    all.reverse();
    all
}

fn failure(pinged: &Pinged) -> Option<&Failure> {
    match pinged {
        Ok(report) => report.failure.as_ref(),
        Err(failure) => Some(failure),
    }
}

/// Whether it was stopped before the first probe was due.
fn is_unknown(pinged: &Pinged) -> bool {
    matches!(pinged, Ok(report) if report.sent == 0 && report.failure.is_none())
}

/// The probes of many targets are spread over the interval, so that they do not run into each other.
fn spread<'t>(args: &PingArgs, targets: &'t [Target]) -> impl Iterator<Item = (&'t Target, PingOptions)> {
    let interval = args.interval.get();
    let options = PingOptions {
        count: args.count,
        interval,
        timeout: args.timeout.get(),
        size: args.size,
        ttl: args.ttl,
        dont_fragment: args.dont_fragment,
        class: args.class,
        delay: Duration::ZERO,
    };
    let all = u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
    (0_u32..).zip(targets).map(move |(number, target)| {
        let delay = interval / all * number;
        (target, PingOptions { delay, ..options })
    })
}
