//! `scanner config`: check, schema, show, init.
use crate::{
    cli::{Common, ConfigCommand, Output},
    context::load_config,
    settings::ScannerConfig,
};
use daemon_kit::{
    Exit, to_stdout,
    verbs::{self, ShowAs},
};
use std::io::IsTerminal;

pub(crate) fn run(common: &Common, command: &ConfigCommand) -> anyhow::Result<Exit> {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match command {
        ConfigCommand::Check => match verbs::check(&load_config(common), color) {
            Ok(text) => to_stdout(text)?,
            Err(text) => {
                eprint!("{text}");
                return Ok(Exit::Configuration);
            }
        },
        ConfigCommand::Schema => to_stdout(verbs::schema::<ScannerConfig>())?,
        ConfigCommand::Show => {
            let show_as = match common.output {
                Output::Table | Output::Csv => ShowAs::Table,
                Output::Json => ShowAs::Json,
                Output::Jsonl => ShowAs::JsonLines,
            };
            to_stdout(verbs::show(&load_config(common)?, show_as))?;
        }
        ConfigCommand::Init { file } => to_stdout(verbs::init::<ScannerConfig>(file.as_deref())?)?,
    }
    Ok(Exit::Done)
}
