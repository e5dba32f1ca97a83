//! The workspace's own commands: `cargo xtask …`.
mod bench;
mod ci;
mod demo;
mod dist;
mod interrupt;
mod process;
mod setup;
mod soak;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The workspace's own commands", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what builds and tests need, or say what is missing.
    Setup(setup::Args),
    /// A controller and a scanner on this machine, doing real work.
    Demo(demo::Args),
    /// Every test.
    Test(test::Args),
    /// What a change must pass: format, lints, tests, docs, dependencies, layout, demo.
    Ci,
    /// Check the layout alone: allowed edges, sizes, READMEs, rows.
    Tidy,
    /// Measure a product beside its peers.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Repeat a randomised test.
    #[command(subcommand)]
    Soak(soak::Command),
    /// Archives of the products for those who run them, with bill of materials and checksums.
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup(args) => setup::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
        Command::Bench(command) => bench::run(command),
        Command::Soak(command) => soak::run(&command),
        Command::Dist(args) => dist::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
