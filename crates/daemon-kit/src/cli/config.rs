//! `config check`, `config schema`, `config show` and `config init`.

use crate::{
    cli::{CommonArgs, Product},
    end::wants_color,
    exit::Exit,
    live::{self, Reload},
    print::to_stdout,
    surroundings::Surroundings,
    verbs::{self, ShowAs},
};
use clap::{Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Check, explain and begin a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and report everything that is wrong with it.
    Check,
    /// Print the JSON Schema, for editors.
    Schema,
    /// Print the effective values and where each comes from; secrets are masked.
    Show,
    /// Print a commented example, or write it to FILE.
    Init {
        /// Where to write it, in TOML or YAML by its extension; an existing file is left alone.
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
}

/// Runs a `config` command of the product whose settings are `T`.
///
/// # Errors
/// When there is no configuration to show, when the example cannot be written, and when standard output cannot.
pub fn config<T, O>(common: &CommonArgs<O>, command: &ConfigCommand) -> anyhow::Result<Exit>
where
    T: Product,
    O: ValueEnum + Into<ShowAs> + Copy + Send + Sync + 'static,
{
    let around = Surroundings::of_this_process();
    let load = || common.load::<T>(&[], &around);
    match command {
        ConfigCommand::Check => {
            let loaded = load();
            match verbs::check(&loaded, wants_color(&std::io::stderr())) {
                Ok(text) => {
                    let remarks = loaded.map(|loaded| loaded.settings.value.remarks(&around));
                    to_stdout(text + &remarks.unwrap_or_default())?;
                }
                Err(text) => {
                    eprint!("{text}");
                    return Ok(Exit::Configuration);
                }
            }
        }
        ConfigCommand::Schema => to_stdout(verbs::schema::<T>())?,
        ConfigCommand::Show => to_stdout(verbs::show(&load()?, common.output.into()))?,
        ConfigCommand::Init { file } => to_stdout(verbs::init::<T>(file.as_deref())?)?,
    }
    Ok(Exit::Done)
}

/// The same for a product whose configuration changes while it runs: what a controller sent is shown with the rest.
///
/// # Errors
/// As [`config`].
pub fn config_of_daemon<T, O>(common: &CommonArgs<O>, command: &ConfigCommand) -> anyhow::Result<Exit>
where
    T: Reload,
    O: ValueEnum + Into<ShowAs> + Copy + Send + Sync + 'static,
{
    if *command != ConfigCommand::Show {
        return config::<T, O>(common, command);
    }
    let around = Surroundings::of_this_process();
    let loaded = live::with_controller::<T, O>(common, common.load::<T>(&[], &around)?, &around);
    to_stdout(verbs::show(&loaded, common.output.into()))?;
    Ok(Exit::Done)
}
