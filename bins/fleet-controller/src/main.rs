//! `fleet-controller`: the control plane of the fleet in one binary.
mod cli;
mod cli_agents;
mod cli_link;
mod cli_malware;
mod client;
mod context;
mod doctor;
mod encryption;
mod keeping;
mod links;
mod rules;
mod serve;
mod settings;
mod store_file;
mod sweeping;

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
        Command::Serve(args) => serve::run(common, args),
        Command::Login(args) => client::login(args),
        Command::Logout => client::logout(),
        Command::Agents(args) => client::agents(common.output, args),
        Command::Groups(command) => client::groups(common.output, command),
        Command::Statistics => client::statistics(common.output),
        Command::AgentConfig(command) => client::agent_config(common.output, command),
        Command::Claim(args) => client::claim(common.output, args),
        Command::Claims => client::claims(common.output),
        Command::Commands(args) => client::commands(common.output, args),
        Command::Files(command) => client::files(common.output, command),
        Command::Detections(args) => client::detections(common.output, args),
        Command::Scans(args) => client::scans(common.output, args),
        Command::Compliance(args) => client::compliance(common.output, args),
        Command::JoinTokens(command) => client::join_tokens(common.output, command),
        Command::Store(command) => store_file::run(common, command),
        Command::Doctor(args) => doctor::run(common, args),
        Command::Config(command) => daemon_kit::cli::config_of_daemon::<settings::ControllerConfig, _>(common, command),
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
