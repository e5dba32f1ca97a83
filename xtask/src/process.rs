//! Running cargo and its kin from the root of the workspace.
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// `cargo` with these arguments, at the root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs it; what it prints is seen.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start {}", shown(&command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(&command));
    Ok(())
}

/// Runs it and gives what it prints on standard output.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let shown = shown(&command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start {shown}"))?;
    ensure!(output.status.success(), "{shown} ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{shown} did not print text"))
}

/// Whether it can be started and ends well; what it prints goes nowhere.
pub(crate) fn succeeds(mut command: Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or(program.as_os_str())).chain(command.get_args());
    format!(
        "`{}`",
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    )
}

/// Whether a program of this name is on the path.
pub(crate) fn have(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// What cargo knows of the members of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let text = output(cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&text).context("cargo metadata is no JSON")
}

/// The folder of the programs: the one that `SHOAL_BIN_DIR` names, where somebody has built them already, else they are
/// built.
pub(crate) fn programs(profile: &str) -> Result<PathBuf> {
    match std::env::var_os("SHOAL_BIN_DIR") {
        Some(folder) => std::path::absolute(folder).context("could not tell where SHOAL_BIN_DIR is"),
        None => build_programs(profile),
    }
}

/// Builds every program of the workspace, so that tests and demo find them; gives the folder they lie in. `profile` is
/// `dev` or `release`.
pub(crate) fn build_programs(profile: &str) -> Result<PathBuf> {
    let started = Instant::now();
    eprintln!("building the programs ({profile}; the first time takes some minutes) …");
    run(cargo(&["build", "--workspace", "--bins", "--profile", profile]))?;
    eprintln!("built in {:.0} s", started.elapsed().as_secs_f64());
    let metadata = metadata()?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join(if profile == "dev" { "debug" } else { profile }))
}
