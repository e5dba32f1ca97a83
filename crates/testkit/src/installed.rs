//! Programs that come in packages of the system.
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Where a program lies: administrators' programs are not in everybody's `PATH`.
///
/// # Errors
/// When it is not installed; says which of Debian's packages has it.
pub(crate) fn installed(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders
        .map(|folder| folder.join(program))
        .find(|program| program.is_file());
    found.with_context(|| {
        format!("{program} is not installed: install Debian's package {package}, or run `cargo xtask setup`")
    })
}
