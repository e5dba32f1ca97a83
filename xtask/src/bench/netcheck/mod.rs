//! Network checks beside their peers: on loopback pings beside fping, TCP and HTTP beside blackbox_exporter; over three hops traces
//! beside mtr.
mod bare;
mod blackbox;
mod fping;
mod server;
mod services;
mod trace;
mod turns;

pub(crate) use fping::{Pings, ping};
pub(crate) use services::{Checks, check};

use crate::process;
use anyhow::Result;
use std::net::Ipv4Addr;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets of pings.
    #[arg(long, default_value_t = 10_000)]
    targets: u32,
    /// Checks of TCP, and of HTTP.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    checks: u32,
    /// Runs of each, in turn, of which the one in the middle counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Measure this alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Pings, beside fping.
    Ping,
    /// TCP and HTTP, beside blackbox_exporter.
    Services,
    /// Traces, beside mtr.
    Trace,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = process::programs("release")?;
    let home = tempfile::tempdir()?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Ping) {
        fping::run(args, &programs, home.path())?;
    }
    if wanted(Part::Services) {
        services::run(args, &programs, home.path())?;
    }
    if wanted(Part::Trace) {
        trace::run(args, &programs, home.path())?;
    }
    Ok(())
}

/// Loopback addresses from 127.1.0.1 on: all of 127/8 is this machine.
fn target(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x7f01_0001 + n)
}
