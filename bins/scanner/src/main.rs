//! `scanner`: keeps a server's picture of a file system true, incrementally.
mod accept;
mod changes;
mod cli;
mod config;
mod context;
mod encode;
mod health;
mod history;
mod known;
mod link;
mod listing;
mod look;
mod progress;
mod query;
mod report;
mod request;
mod run;
mod scan;
mod session;
mod settings;
mod status;
mod stop;

use clap::Parser;
use cli::{Cli, Command};
use context::Context;
use daemon_kit::Exit;

fn main() -> Exit {
    transport_http::ensure_crypto_provider();
    let cli = Cli::parse();
    dispatch(&cli).unwrap_or_else(|error| Exit::of_failure(&error))
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    // The log of a look is not its result; that of a run is read by whoever reads cron's mail.
    let context = |level| Context::new(&cli.common, level);
    match &cli.command {
        Command::Scan(args) => scan::run(&context("error")?, args),
        Command::Run(args) => run::run(&context("info")?, args),
        Command::Diff(args) => look::run(&context("error")?, args),
        Command::Status(args) => status::run(&context("warn")?, args),
        Command::History(args) => history::run(&context("warn")?, args),
        Command::Query(args) => query::run(&context("warn")?, args),
        Command::Export(args) => query::export(&context("warn")?, args),
        Command::Accept(args) => accept::run(&context("warn")?, args),
        Command::Config(command) => config::run(&cli.common, command),
    }
}
