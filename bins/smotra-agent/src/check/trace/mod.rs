//! `check trace`.
mod known;
mod live;
mod probed;
mod text;

use super::{
    live_mistake,
    show::Told,
    targets::{self, Target},
};
use crate::{cli::TargetArgs, out::Lines, seconds::seconds, stop::Stop};
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use core_model::Period;
use daemon_kit::{Exit, cli::Output, to_stdout};
use futures_util::{StreamExt as _, stream};
use netcheck::{
    Failure, dns, icmp,
    target::{Host, Target as Written},
    trace::{self, Protocol, TraceOptions, TraceReport, Tracer, TracerOptions},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use text::{ended, text};

/// What is sent where nothing else is said.
const COUNT: u32 = 3;
const INTERVAL: Duration = Duration::from_millis(30);
/// So long a name server may take to tell what a router is called.
const NAME_TIMEOUT: Duration = Duration::from_secs(2);
const DNS_PORT: u16 = 53;

/// By which routers packets go to targets, and where they end.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  smotra-agent check trace gate.example                     the way, three probes a hop
  smotra-agent check trace -p tcp --port 443 gate.example   as a browser's packets go
  smotra-agent check trace -p udp --flows 16 gate.example   all ways where routers share load
  smotra-agent check trace --path-mtu gate.example          the longest packet, and who limits it
  smotra-agent check trace --live gate.example              on and on, a row for each hop")]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// How long a name server may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = seconds)]
    resolve_timeout: Period,
    /// As what probes travel [default: icmp; udp with `--flows` or `--port`, and where no pings may be sent].
    #[arg(short, long, value_name = "PROTOCOL", value_enum)]
    protocol: Option<By>,
    /// The port that they go to, by UDP or TCP [default: 33434 by UDP, 443 by TCP].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Probes that each hop is sent, by each flow; with `--live`, 0 is until Ctrl-C [default: 3, with `--live` 0].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(trace::COUNT_MOST)))]
    count: Option<u32>,
    /// From one probe of a hop to the next, once the length of the way is known [default: 30ms, with `--live` 1s].
    #[arg(short, long, value_name = "TIME", value_parser = seconds)]
    interval: Option<Period>,
    /// How long an answer may take.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "1s", value_parser = seconds)]
    timeout: Period,
    /// The first hop that is probed.
    #[arg(short, long, value_name = "HOP", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    first_hop: u8,
    /// The last one.
    #[arg(short, long, value_name = "HOP", default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..))]
    max_hops: u8,
    /// Expect nothing behind so many silent hops in a row.
    #[arg(long, value_name = "HOPS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..))]
    give_up_after: u8,
    /// The length of a probe with its IP header, in bytes.
    #[arg(short, long, value_name = "BYTES", default_value_t = 80, value_parser = clap::value_parser!(u16).range(70..))]
    size: u16,
    /// The traffic class of a probe (DSCP and ECN), 0 to 255.
    #[arg(short = 'Q', long, value_name = "CLASS", default_value_t = 0)]
    class: u8,
    /// Trace again and again, and show each hop as it becomes known.
    ///
    /// On a terminal that is a table, painted in place: a row for each hop. LATEST is a character for each of the latest probes:
    /// higher is longer (▁ up to 1 ms, ▂ 3, ▃ 10, ▄ 30, ▅ 100, ▆ 300, ▇ 1 s, █ more), `?` silent while somebody behind answered,
    /// `!` silent as all behind. It is one flow, and its path MTU is not searched. A way that changes is told in the final table. Elsewhere it is a line for each probe, and
    /// with `--output jsonl` an object.
    #[arg(short, long, conflicts_with_all = ["flows", "path_mtu"])]
    live: bool,
    /// Send so many flows, each from a port of its own: 16 find all ways of routers that share their load between two.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(trace::FLOWS_MOST)))]
    flows: u16,
    /// Search the longest packet that comes through, and who limits it.
    #[arg(long)]
    path_mtu: bool,
    /// Ask what routers are called.
    #[arg(long)]
    names: bool,
    /// Whom to ask that: an address, with or without a port [default: a name server of this machine].
    #[arg(long, value_name = "SERVER", requires = "names")]
    name_server: Option<String>,
    /// How many targets are traced at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    parallel: u16,
    /// Send from this address, one of this machine's [default: the one that its routes choose].
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// Send so many probes a second at the most, to all targets together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

impl TraceArgs {
    /// What cannot be meant.
    pub(crate) fn mistake(&self, output: Output) -> Option<&'static str> {
        let by = |protocol| self.protocol == Some(protocol);
        if self.first_hop > self.max_hops {
            return Some("`--first-hop` is beyond `--max-hops`");
        }
        if by(By::Icmp) && self.flows > 1 {
            return Some("ICMP has no ports by which `--flows` could be told apart: take `--protocol udp` or `tcp`");
        }
        if by(By::Icmp) && self.port.is_some() {
            return Some("ICMP has no ports: `--port` goes with `--protocol udp` or `tcp`");
        }
        if by(By::Tcp) && self.path_mtu {
            return Some("the first packet of TCP is short: `--path-mtu` goes with `--protocol icmp` or `udp`");
        }
        if self.live {
            return live_mistake(output);
        }
        (self.count == Some(0)).then_some("`--count 0` never ends, and so wants `--live`")
    }
}

/// As what probes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Icmp,
    Udp,
    Tcp,
}

/// What came of a target; a failure where it could not even be begun with.
type Traced = Result<TraceReport, Failure>;

pub(crate) async fn run(args: &TraceArgs, output: Output) -> anyhow::Result<Exit> {
    let name_server = if args.names { Some(name_server(args)?) } else { None };
    let targets = targets::resolved(&args.targets, args.source, args.resolve_timeout.get()).await?;
    let stop = Stop::take()?;
    let defaults = TracerOptions::default();
    let tracer = Tracer::start(TracerOptions {
        rate: args.rate.unwrap_or(defaults.rate),
        source: args.source,
        ..defaults
    })
    .map_err(|failure| anyhow::anyhow!("{failure}; {}", failure.remedy()))?;
    if args.live {
        return live::run(args, &targets, &tracer, name_server, &stop, output).await;
    }
    let tracer = &tracer;
    let traces = stream::iter(&targets).map(|target| async move {
        let traced: Traced = match target.address.clone() {
            Ok(address) => Ok(tracer.trace(address, options(args, address)).await),
            Err(failure) => Err(failure),
        };
        (target, named(traced, name_server).await)
    });
    let mut traces = traces.buffered(usize::from(args.parallel));
    let mut all: Vec<(&Target, Traced)> = Vec::with_capacity(targets.len());
    let mut lines = Lines::to_stdout();
    while let Some((target, traced)) = stop.next(&mut traces).await {
        match output {
            // Whoever reads wants each as soon as it is there.
            Output::Jsonl => {
                lines.json(&Told::new(&target.name, &traced))?;
                lines.flush()?;
            }
            Output::Table => {
                let gap = if all.is_empty() { "" } else { "\n" };
                lines.text(&format!("{gap}{}", text(&target.name, &traced, args.names)))?;
            }
            Output::Json => {}
        }
        all.push((target, traced));
        if lines.is_closed() {
            break;
        }
    }
    if output == Output::Json {
        let told: Vec<Told<'_, TraceReport>> = all
            .iter()
            .map(|(target, traced)| Told::new(&target.name, traced))
            .collect();
        to_stdout(format_args!("{}\n", serde_json::to_string_pretty(&told)?))?;
    }
    let failures = all.iter().filter_map(|(_, traced)| failure(traced));
    Ok(stop.exit(failures, targets.len() - all.len(), targets.len()))
}

fn name_server(args: &TraceArgs) -> anyhow::Result<SocketAddr> {
    let Some(server) = &args.name_server else {
        let servers = dns::system_servers().map_err(|failure| anyhow::anyhow!("{failure}; {}", failure.remedy()))?;
        return servers
            .first()
            .copied()
            .context("this machine has no name server: give one by --name-server");
    };
    match Written::with_port(server, Some(DNS_PORT)) {
        Ok((Host::Address(address), port)) => Ok((address, port).into()),
        _ => bail!("--name-server {server}: that is no address, with or without a port"),
    }
}

fn options(args: &TraceArgs, address: IpAddr) -> TraceOptions {
    let by = args.protocol.unwrap_or_else(|| match icmp::access(address.is_ipv6()) {
        Ok(_) if args.flows == 1 && args.port.is_none() => By::Icmp,
        _ => By::Udp,
    });
    TraceOptions {
        protocol: match by {
            By::Icmp => Protocol::Icmp,
            By::Udp => Protocol::Udp {
                port: args.port.unwrap_or(33434),
            },
            By::Tcp => Protocol::Tcp {
                port: args.port.unwrap_or(443),
            },
        },
        first_hop: args.first_hop,
        max_hops: args.max_hops,
        count: args.count.unwrap_or(COUNT),
        interval: args.interval.map_or(INTERVAL, Period::get),
        timeout: args.timeout.get(),
        give_up_after: args.give_up_after,
        size: args.size,
        class: args.class,
        flows: args.flows,
        path_mtu: args.path_mtu,
        ..TraceOptions::default()
    }
}

async fn named(traced: Traced, server: Option<SocketAddr>) -> Traced {
    let mut report = traced?;
    if let Some(server) = server {
        trace::names(std::slice::from_mut(&mut report), server, NAME_TIMEOUT).await;
    }
    Ok(report)
}

fn failure(traced: &Traced) -> Option<&Failure> {
    match traced {
        Ok(report) => report.failure.as_ref(),
        Err(failure) => Some(failure),
    }
}
