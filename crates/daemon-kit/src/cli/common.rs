//! The options that every command of every product takes.

use crate::{cli::Output, load::Override};
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::path::PathBuf;

const HEADING: &str = "Options of every command";

/// Options that every command takes. `O` is the choice of forms that results are printed in.
///
/// ```
/// use clap::Parser;
/// use daemon_kit::cli::{CommonArgs, Output};
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     common: CommonArgs,
/// }
///
/// let cli = Cli::parse_from(["scanner", "--output", "json", "--set", "logging.level=debug"]);
/// assert_eq!(cli.common.output, Output::Json);
/// assert_eq!(cli.common.overrides()[0].key, "logging.level");
/// ```
// Not `version`, `about` or the like: a flattened struct must not speak for the program.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs<O = Output>
where
    O: ValueEnum + Clone + Send + Sync + 'static,
{
    /// Configuration file (TOML, YAML or JSON by its extension).
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Where the state lies [default: a directory with the program's name, for root in /var/lib, otherwise in
    /// $XDG_STATE_HOME].
    #[arg(long, global = true, value_name = "DIR", help_heading = HEADING, value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// Set any key of the configuration, such as `--set logging.level=debug`, a list with commas; may be given again.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value, help_heading = HEADING)]
    pub set: Vec<(String, String)>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value = "table", help_heading = HEADING)]
    pub output: O,
    /// More log lines (-v debug, -vv trace).
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet", help_heading = HEADING)]
    pub verbose: u8,
    /// Errors only: no progress, no log lines below `error`.
    #[arg(long, short, global = true, help_heading = HEADING)]
    pub quiet: bool,
}

impl<O: ValueEnum + Clone + Send + Sync + 'static> CommonArgs<O> {
    /// What `--set` says, for [`load`](crate::load()).
    pub fn overrides(&self) -> Vec<Override<'static>> {
        let of_set = |(key, value): &(String, String)| Override {
            option: "--set",
            key: key.clone().into(),
            value: value.clone(),
        };
        self.set.iter().map(of_set).collect()
    }

    /// The level to log at: `-q` and `-v` before what is `configured`.
    pub fn level(&self, configured: &str) -> String {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (_, 0) => configured,
            (_, 1) => "debug",
            _ => "trace",
        };
        level.to_owned()
    }
}

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or("expected KEY=VALUE, such as logging.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
