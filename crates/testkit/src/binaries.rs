//! Where this workspace's programs are.
use anyhow::{Context, Result, bail, ensure};
use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the workspace's program `name`, built from the sources as they are now.
///
/// `SHOAL_BIN_DIR` names the folder where somebody (`cargo xtask test`) has built them already. Without it, they are
/// built once per process, with the profile and into the folder of the running test.
///
/// # Errors
/// When the build fails, or leaves no program of that name.
pub fn binary(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER
        .get_or_init(|| folder().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let path = folder.join(format!("{name}{EXE_SUFFIX}"));
    ensure!(path.is_file(), "no program `{name}` in `{}`", folder.display());
    Ok(path)
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("SHOAL_BIN_DIR") {
        return Ok(folder.into());
    }
    let test = std::env::current_exe().context("could not tell where the running test lies")?;
    let folder = profile_folder(&test).with_context(|| format!("`{}` is in no build folder", test.display()))?;
    build(folder)?;
    Ok(folder.to_owned())
}

/// `target/debug` of `target/debug/deps/it-1a2b`, of `target/debug/examples/show` and of `target/debug/xtask`.
fn profile_folder(program: &Path) -> Option<&Path> {
    let folder = program.parent()?;
    match folder.file_name()?.to_str()? {
        "deps" | "examples" => folder.parent(),
        _ => Some(folder),
    }
}

fn build(folder: &Path) -> Result<()> {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target = folder.parent().context("a build folder has a parent")?;
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--workspace", "--bins", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!(
            "could not build the workspace's programs:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_told_from_the_path() {
        for path in ["/t/debug/deps/it-1a", "/t/debug/examples/show", "/t/debug/xtask"] {
            assert_eq!(profile_folder(Path::new(path)), Some(Path::new("/t/debug")), "{path}");
        }
    }
}
