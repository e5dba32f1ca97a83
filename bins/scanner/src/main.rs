//! `scanner`: keeps a server's picture of a file system true, incrementally.
mod accept;
mod agent;
mod answers;
mod changes;
mod cli;
mod coming;
mod context;
mod doctor;
mod document;
mod encode;
mod explain;
mod health;
mod history;
mod known;
mod listing;
mod look;
mod once;
mod orders;
mod past;
mod progress;
mod query;
mod report;
mod request;
mod requests;
mod run;
mod scan;
mod scanning;
mod session;
mod settings;
mod snapshot;
mod state_file;
mod status;
mod stop;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, ScheduleCommand};
use context::Context;
use daemon_kit::{Exit, cli::ManArgs, to_stdout};

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
        Command::Run(args) => run::run(context("info")?, args),
        Command::Resume(args) => once::resume(context("info")?, &args.join),
        Command::Diff(args) => look::run(&context("error")?, args),
        Command::Status(args) => status::run(&context("warn")?, args),
        Command::History(args) => history::run(&context("warn")?, args),
        Command::Changes(args) => past::run(&context("warn")?, args),
        Command::Explain(args) => explain::run(&context("warn")?, args),
        Command::Schedule(ScheduleCommand::Next(args)) => coming::run(&context("warn")?, args),
        Command::Query(args) => query::run(&context("warn")?, args),
        Command::Export(args) => query::export(&context("warn")?, args),
        Command::Accept(args) => accept::run(&context("warn")?, args),
        Command::Completions(args) => args.run(Cli::command()).map(|()| Exit::Done).map_err(Into::into),
        Command::Man(args) => man(args),
        Command::Doctor(args) => doctor::run(&cli.common, args),
        Command::Leave(args) => context("warn")?.leave(args.into()),
        Command::State(command) => state_file::run(&context("warn")?, command),
        Command::Config(command) => {
            daemon_kit::cli::config_of_daemon::<settings::ScannerConfig, _>(&cli.common, command)
        }
    }
}

fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    for page in args.run(Cli::command())? {
        to_stdout(format_args!("{}\n", page.display()))?;
    }
    Ok(Exit::Done)
}
