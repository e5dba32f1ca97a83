//! The part of a command line that every product has: options, start-up, `config`, completions and manual pages.
//!
//! A product derives its own [`clap::Parser`], flattens [`CommonArgs`] into it, and begins each command with
//! [`CommonArgs::begin`]. What its commands are and do is its own matter.
//!
//! ```no_run
//! use clap::{CommandFactory, Parser, Subcommand};
//! use daemon_kit::{
//!     ConfigFinder, ConfigSpec, Exit, LoggingSettings,
//!     cli::{self, CommonArgs, CompletionsArgs, ConfigCommand, DoctorArgs, ManArgs, Product},
//! };
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Default)]
//! #[serde(default)]
//! struct Settings {
//!     logging: LoggingSettings,
//! }
//! impl conf::Settings for Settings {}
//! impl Product for Settings {
//!     const SPEC: ConfigSpec = ConfigSpec {
//!         finder: ConfigFinder { product: "shoal-example", prefix: "SHOAL_EXAMPLE" },
//!         short_variables: &[],
//!         other_variables: &[],
//!         meaningless: &[],
//!         never_literal: &[],
//!     };
//!     fn logging(&self) -> &LoggingSettings {
//!         &self.logging
//!     }
//! }
//!
//! #[derive(Parser)]
//! #[command(name = "shoal-example", version)]
//! struct Cli {
//!     #[command(flatten)]
//!     common: CommonArgs,
//!     #[command(subcommand)]
//!     command: Command,
//! }
//!
//! #[derive(Subcommand)]
//! enum Command {
//!     /// Stay up.
//!     Run,
//!     /// Test this installation and say the remedy of what is wrong.
//!     Doctor(DoctorArgs),
//!     /// Check, explain and begin a configuration.
//!     #[command(subcommand)]
//!     Config(ConfigCommand),
//!     /// Print the completions for a shell.
//!     Completions(CompletionsArgs),
//!     /// Print the manual page, or write one for each command.
//!     Man(ManArgs),
//! }
//!
//! fn main() -> Exit {
//!     let cli = Cli::parse();
//!     dispatch(&cli).unwrap_or_else(|error| Exit::of_failure(&error))
//! }
//!
//! fn dispatch(Cli { common, command }: &Cli) -> anyhow::Result<Exit> {
//!     match command {
//!         Command::Run => {
//!             let started = common.begin::<Settings>("info", &[])?;
//!             tracing::info!(data_dir = %started.data_dir.path.display(), "running");
//!         }
//!         Command::Doctor(args) => {
//!             return common.check_up::<Settings>().finish(args, "shoal-example 1.0.0", common.output.into());
//!         }
//!         Command::Config(command) => return cli::config::<Settings, _>(common, command),
//!         Command::Completions(args) => args.run(Cli::command())?,
//!         Command::Man(args) => drop(args.run(Cli::command())?),
//!     }
//!     Ok(Exit::Done)
//! }
//! ```

mod common;
mod completions;
mod config;
mod doctor;
mod man;
mod output;
mod start;

pub use clap_complete::Shell;
pub use common::CommonArgs;
#[cfg(feature = "fuzzing")]
pub(crate) use common::key_value;
pub use completions::{CompletionsArgs, completions};
pub use config::{ConfigCommand, config, config_of_daemon};
pub use doctor::{Checkup, DoctorArgs};
pub use man::{ManArgs, ManError, man};
pub use output::{Output, RowOutput};
pub use start::{Product, Started};
