//! `fleet-controller config`: check, schema, show, init.
use crate::{
    cli::{Common, ConfigCommand, Output},
    context::load_config,
    settings::ControllerConfig,
};
use daemon_kit::{
    Exit, Surroundings, to_stdout,
    verbs::{self, ShowAs},
};
use std::io::IsTerminal;

pub(crate) fn run(common: &Common, command: &ConfigCommand) -> anyhow::Result<Exit> {
    let load = || load_config(common, None, &Surroundings::of_this_process());
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match command {
        ConfigCommand::Check => match verbs::check(&load(), color) {
            Ok(text) => to_stdout(text)?,
            Err(text) => {
                eprint!("{text}");
                return Ok(Exit::Configuration);
            }
        },
        ConfigCommand::Schema => to_stdout(verbs::schema::<ControllerConfig>())?,
        ConfigCommand::Show => {
            let show_as = match common.output {
                Output::Table => ShowAs::Table,
                Output::Json => ShowAs::Json,
                Output::Jsonl => ShowAs::JsonLines,
            };
            to_stdout(verbs::show(&load()?, show_as))?;
        }
        ConfigCommand::Init { file } => to_stdout(verbs::init::<ControllerConfig>(file.as_deref())?)?,
    }
    Ok(Exit::Done)
}
