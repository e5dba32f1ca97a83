//! Which targets are meant: as written, from a list, and as addresses.
use crate::cli::TargetArgs;
use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use netcheck::{Failure, Family, resolve};
use std::{fs, io, net::IpAddr, path::Path, time::Duration};

/// So many names are asked about at once.
const TOGETHER: usize = 64;

/// A target as it was written, and its address.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) address: Result<IpAddr, Failure>,
}

/// All targets, in the order in which they were written.
pub(super) fn names(args: &TargetArgs) -> anyhow::Result<Vec<String>> {
    listed(&args.targets, args.file.as_deref())
}

/// Those that were written, and those of a file after them.
pub(super) fn listed(written: &[String], file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut names = written.to_vec();
    if let Some(file) = file {
        names.extend(list(&read(file)?));
    }
    let file = file.map_or_else(String::new, |file| format!(" {}", file.display()));
    anyhow::ensure!(!names.is_empty(), "the list{file} names no target");
    Ok(names)
}

/// The first address of each, of those that can be reached from `source`.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn resolved(
    args: &TargetArgs,
    source: Option<IpAddr>,
    within: Duration,
) -> anyhow::Result<Vec<Target>> {
    let names = names(args)?;
    let family = match (args.family.get(), source) {
        (Family::Any, Some(IpAddr::V4(_))) => Family::V4,
        (Family::Any, Some(IpAddr::V6(_))) => Family::V6,
        (family, _) => family,
    };
    let targets = names.into_iter().map(|name| async move {
        let found = resolve(&name, 0, family, within).await;
        let address = found.map(|found| found.addresses[0].ip());
        Target { name, address }
    });
    Ok(stream::iter(targets).buffered(TOGETHER).collect().await)
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return io::read_to_string(io::stdin()).context("could not read targets from standard input");
    }
    fs::read_to_string(file).with_context(|| format!("could not read targets from {}", file.display()))
}

fn list(text: &str) -> impl Iterator<Item = String> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_target_a_line_and_room_for_remarks() {
        let text = "# routers\n192.0.2.1\n\n  gate.example  # the gate\n#192.0.2.2\n";
        assert_eq!(list(text).collect::<Vec<_>>(), ["192.0.2.1", "gate.example"]);
    }
}
