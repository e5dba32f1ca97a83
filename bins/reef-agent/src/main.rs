//! `reef-agent`: scans servers for malware through ClamAV's daemon, and proves that it did.
#![cfg(unix)]
mod agenda;
mod cli;
mod cli_quarantine;
mod context;
mod doctor;
mod health;
mod history;
mod keeper;
mod keeping;
mod membership;
mod metrics;
mod news;
mod once;
mod orders;
mod parts;
mod quarantine;
mod rounds;
mod rules;
mod run;
mod scan;
mod settings;
mod signatures;
mod state;
mod status;
mod verbs;
mod watching;
mod webhook;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use context::Context;
use daemon_kit::{Exit, cli::ManArgs, to_stdout};

fn main() -> Exit {
    transport_http::ensure_crypto_provider();
    let cli = Cli::parse();
    dispatch(&cli).unwrap_or_else(|error| Exit::of_failure(&error))
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    // The log of a look is not its result; that of a run is read by whoever reads the service's.
    let context = |level| Context::new(&cli.common, level);
    let to_look = || Context::to_look(&cli.common);
    match &cli.command {
        Command::Run(args) => run::run(context("info")?, args),
        Command::Status => status::run(&to_look()?),
        Command::History(args) => history::run(&to_look()?, args),
        Command::Detections(args) => status::detections(&to_look()?, args),
        Command::Scan(args) => scan::command::run(&context("warn")?, args),
        Command::Rules(command) => rules::run(&context("warn")?, command),
        Command::Quarantine(command) if command.only_looks() => cli_quarantine::run(&to_look()?, command),
        Command::Quarantine(command) => cli_quarantine::run(&context("warn")?, command),
        Command::Doctor(args) => doctor::run(&cli.common, args),
        Command::Leave(args) => context("warn")?.leave(args.into()),
        Command::Config(command) => daemon_kit::cli::config_of_daemon::<settings::ReefConfig, _>(&cli.common, command),
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
