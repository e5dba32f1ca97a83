//! A program that starts itself again.

/// Starts this program again in the place of this process, as it was started; returns only where that fails. Whatever is
/// open should be closed and unlocked before.
#[cfg(unix)]
pub fn start_again() -> anyhow::Error {
    use anyhow::Context as _;
    use std::{os::unix::process::CommandExt as _, process::Command};
    let program = match std::env::current_exe().context("could not find this program's own file") {
        Ok(program) => program,
        Err(error) => return error,
    };
    let error = Command::new(&program).args(std::env::args_os().skip(1)).exec();
    anyhow::Error::new(error).context(format!("could not start `{}` again", program.display()))
}

/// Nothing here starts a program in the place of this one: the service manager does.
#[cfg(not(unix))]
pub fn start_again() -> anyhow::Error {
    anyhow::anyhow!("ended in order to be started again by the service manager")
}
