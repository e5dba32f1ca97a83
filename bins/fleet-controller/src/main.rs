//! `fleet-controller`: the control plane of the fleet in one binary.
mod cli;
mod client;
mod config;
mod context;
mod serve;
mod settings;

use clap::Parser;
use cli::{Cli, Command};
use daemon_kit::{ConfigError, Exit};
use std::io::IsTerminal;

fn main() -> Exit {
    transport_http::ensure_crypto_provider();
    let cli = Cli::parse();
    dispatch(&cli).unwrap_or_else(|error| failure(&error))
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

fn failure(error: &anyhow::Error) -> Exit {
    if let Some(config) = error.downcast_ref::<ConfigError>() {
        let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        eprint!("{}", config.render(color));
        return Exit::Configuration;
    }
    eprintln!("error: {error:#}");
    Exit::Environment
}
