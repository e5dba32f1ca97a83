//! `cargo xtask test`: every test of the workspace.
use crate::{process, setup};
use anyhow::Result;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Passed on to `cargo test`, such as `-p conf`; without it the whole workspace is tested.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::run(&setup::Args::default())?;
    // Tests of one package run programs of another, which cargo alone does not build for them.
    let programs = process::build_programs("dev")?;
    let mut command = process::cargo(&["test", "--no-fail-fast"]);
    if args.rest.is_empty() {
        command.arg("--workspace");
    }
    command.args(&args.rest).env("SHOAL_BIN_DIR", programs);
    process::run(command)
}
