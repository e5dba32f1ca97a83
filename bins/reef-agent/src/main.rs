//! `reef-agent`: scans servers for malware through ClamAV's daemon, and proves that it did.
#![cfg(unix)]
mod cli;
mod cli_quarantine;
mod context;
mod quarantine;
mod rules;
mod scan;
mod settings;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use daemon_kit::{Exit, cli::ManArgs, to_stdout};

fn main() -> Exit {
    transport_http::ensure_crypto_provider();
    let cli = Cli::parse();
    dispatch(&cli).unwrap_or_else(|error| Exit::of_failure(&error))
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    let common = &cli.common;
    match &cli.command {
        Command::Scan(args) => scan::run(&context::Context::new(common, "warn")?, args),
        Command::Rules(command) => rules::run(&context::Context::new(common, "warn")?, command),
        Command::Quarantine(command) => cli_quarantine::run(&context::Context::new(common, "warn")?, command),
        Command::Config(command) => daemon_kit::cli::config::<settings::ReefConfig, _>(common, command),
        Command::Completions(args) => Ok(args.run(Cli::command()).map(|()| Exit::Done)?),
        Command::Man(args) => man(args),
    }
}

fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    for page in args.run(Cli::command())? {
        to_stdout(format_args!("{}\n", page.display()))?;
    }
    Ok(Exit::Done)
}
