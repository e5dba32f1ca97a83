//! `smotra-agent`: checks networks from where it runs.
mod check;
mod cli;
mod live;
mod out;
mod seconds;
mod stop;

use clap::{CommandFactory, Parser, error::ErrorKind};
use cli::{Cli, Command};
use daemon_kit::{Exit, cli::ManArgs, to_stdout};

fn main() -> Exit {
    let cli = Cli::parse();
    if let Some(mistake) = cli.mistake() {
        Cli::command().error(ErrorKind::ArgumentConflict, mistake).exit();
    }
    dispatch(&cli).unwrap_or_else(|error| Exit::of_failure(&error))
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Check(command) => check::run(command, cli.output),
        Command::Completions(args) => args.run(Cli::command()).map(|()| Exit::Done).map_err(Into::into),
        Command::Man(args) => man(args),
    }
}

fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    for page in args.run(Cli::command())? {
        to_stdout(format_args!("{}\n", page.display()))?;
    }
    Ok(Exit::Done)
}
