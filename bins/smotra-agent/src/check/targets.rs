//! Which targets are meant: as written, from a list, and as addresses.
use crate::cli::TargetArgs;
use anyhow::Context as _;
use daemon_kit::printable;
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
///
/// # Errors
/// When there are none, the file cannot be read, or a target has characters by which it would steer a terminal wherever it is
/// shown.
pub(super) fn listed(written: &[String], file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut names = written.to_vec();
    for name in &names {
        ensure_printable(name, || "the command line".to_owned())?;
    }
    if let Some(file) = file {
        let shown = match file.as_os_str().as_encoded_bytes() {
            b"-" => "standard input".into(),
            path => printable(path),
        };
        for (line, name) in list(&read(file)?) {
            ensure_printable(name, || format!("{shown}, line {line}"))?;
            names.push(name.to_owned());
        }
    }
    let shown = file.map_or_else(String::new, |file| format!(" {}", file.display()));
    anyhow::ensure!(!names.is_empty(), "the list{shown} names no target");
    Ok(names)
}

/// No name or address of anything has such characters.
fn ensure_printable(name: &str, place: impl Fn() -> String) -> anyhow::Result<()> {
    let shown = printable(name.as_bytes());
    anyhow::ensure!(
        shown == name,
        "{}: the target `{shown}` has control characters, which are shown as escapes here: take them out",
        place()
    );
    Ok(())
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

/// The targets, each with the number of its line.
fn list(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_target_a_line_and_room_for_remarks() {
        let text = "# routers\n192.0.2.1\n\n  gate.example  # the gate\n#192.0.2.2\n";
        assert_eq!(list(text).collect::<Vec<_>>(), [(2, "192.0.2.1"), (4, "gate.example")]);
    }

    #[test]
    fn a_target_that_would_steer_a_terminal_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list");
        for steering in ["x\u{1b}[2Jy:80", "x\u{9b}2Jy", "x\ty", "x\u{202e}y"] {
            fs::write(&file, format!("gate.example\n\n{steering}\n")).unwrap();
            let refused = listed(&[], Some(&file)).unwrap_err().to_string();
            let escaped = steering.escape_default().to_string();
            assert!(
                refused.contains("list, line 3: ") && refused.contains(&format!("`{escaped}`")),
                "{refused:?}"
            );
            let refused = listed(&[steering.to_owned()], None).unwrap_err().to_string();
            assert!(refused.starts_with("the command line: "), "{refused:?}");
        }
        fs::write(&file, "bücher.example\n").unwrap();
        assert_eq!(
            listed(&["one".to_owned()], Some(&file)).unwrap(),
            ["one", "bücher.example"]
        );
    }
}
