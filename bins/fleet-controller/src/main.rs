//! `fleet-controller`: the control plane of the fleet in one binary.
mod cli;
mod client;
mod config;
mod context;
mod serve;
mod settings;

use clap::Parser;
use cli::{Cli, Command};
use daemon_kit::Exit;

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
        Command::Files(command) => client::files(common.output, command),
        Command::JoinTokens(command) => client::join_tokens(common.output, command),
        Command::Config(command) => config::run(common, command),
    }
}
