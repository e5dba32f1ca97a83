//! `check ping`.
use super::{
    exit,
    show::{doubted, failed, millis, percent},
    targets::{self, Target},
};
use crate::cli::TargetArgs;
use clap::Args;
use core_model::Period;
use daemon_kit::{Exit, Table, cli::Output, to_stdout};
use netcheck::{
    Failure,
    ping::{Outcome, PingOptions, PingReport, Pinger, PingerOptions, Pinging, Sample},
};
use serde::Serialize;
use std::time::Duration;

/// How targets are pinged.
#[derive(Clone, Debug, Args)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// How many probes each target gets.
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// From one probe of a target to the next.
    #[arg(short, long, value_name = "TIME", default_value = "1s")]
    interval: Period,
    /// How long an answer may take.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "1s")]
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
    /// Send so many probes a second at the most, to all targets together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print each probe as soon as it is known what became of it.
    #[arg(short, long)]
    live: bool,
    /// With JSON, tell each probe besides what follows from all of them.
    #[arg(long)]
    samples: bool,
}

/// What came of a target; a failure where it could not even be begun with.
type Pinged = Result<PingReport, Failure>;

/// The same, as it is told.
#[derive(Serialize)]
struct Told<'t> {
    target: &'t str,
    #[serde(flatten)]
    report: Option<&'t PingReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'t Failure>,
}

pub(crate) async fn run(args: &PingArgs, output: Output) -> anyhow::Result<Exit> {
    let targets = targets::resolved(&args.targets, targets::names(&args.targets)?).await;
    let pinger = Pinger::start(PingerOptions {
        rate: args.rate,
        ..PingerOptions::default()
    });
    let under_way: Vec<Result<Pinging, Failure>> = spread(args, &targets)
        .map(|(target, options)| {
            let (address, pinger) = (target.address.clone()?, pinger.as_ref().map_err(Clone::clone)?);
            if !args.live {
                return Ok(pinger.ping(address, options));
            }
            let name = target.name.clone();
            Ok(pinger.watch(address, options, move |sample| {
                // Nobody reads any more: the report says all of it again.
                let _printed = to_stdout(live(&name, sample));
            }))
        })
        .collect();
    let mut all: Vec<Pinged> = Vec::with_capacity(targets.len());
    for pinging in under_way {
        let mut pinged = match pinging {
            Ok(pinging) => Ok(pinging.await),
            Err(failure) => Err(failure),
        };
        if let (Ok(report), false) = (&mut pinged, args.samples) {
            report.samples = Vec::new();
        }
        all.push(pinged);
    }
    show(&targets, &all, output)?;
    Ok(exit(all.iter().filter_map(failure)))
}

fn failure(pinged: &Pinged) -> Option<&Failure> {
    match pinged {
        Ok(report) => report.failure.as_ref(),
        Err(failure) => Some(failure),
    }
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

/// One probe, as it is printed while the run lasts.
fn live(target: &str, sample: &Sample) -> String {
    let number = sample.number;
    let became = match &sample.outcome {
        Outcome::Answered { rtt, ttl } => {
            let ttl = ttl.map_or_else(String::new, |ttl| format!(" ttl={ttl}"));
            format!("{} ms{ttl}", millis(Some(*rtt)))
        }
        Outcome::Lost => "no answer".to_owned(),
        Outcome::Unreachable { by, reason } => format!("{by} says: {}", reason.words()),
        Outcome::Unknown { doubt } => format!("not known: {}", doubt.words()),
        Outcome::Unsent { failure } => format!("not sent: {failure}"),
    };
    format!("{target} {number}: {became}\n")
}

fn show(targets: &[Target], all: &[Pinged], output: Output) -> anyhow::Result<()> {
    let told = targets.iter().zip(all).map(|(target, pinged)| Told {
        target: &target.name,
        report: pinged.as_ref().ok(),
        failure: pinged.as_ref().err(),
    });
    let told: Vec<Told<'_>> = told.collect();
    match output {
        Output::Json => to_stdout(format_args!("{}\n", serde_json::to_string_pretty(&told)?))?,
        Output::Jsonl => {
            for told in told {
                to_stdout(format_args!("{}\n", serde_json::to_string(&told)?))?;
            }
        }
        Output::Table => to_stdout(table(&told))?,
    }
    Ok(())
}

fn table(told: &[Told<'_>]) -> String {
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
