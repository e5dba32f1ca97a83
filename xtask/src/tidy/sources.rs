//! What every crate has, and what no file may hold.
use super::Source;
use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};

/// A file longer than this wants to be two.
const MOST_LINES: usize = 800;

/// Names of one machine or of one way of working, written in two parts so that this file does not hold them.
const FOREIGN: [(&str, &str); 3] = [("/work", "/"), ("/tmp/", "brief"), ("before", "-stop")];

/// What is wrong with the members of the workspace.
pub(super) fn members(metadata: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?
    {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let text = fs::read_to_string(manifest).with_context(|| format!("could not read {}", manifest.display()))?;
        if !text.replace("\r\n", "\n").contains("[lints]\nworkspace = true") {
            wrong.push(format!("{} does not take the workspace's lints", manifest.display()));
        }
        let folder = manifest.parent().unwrap_or(Path::new("."));
        let is_library = folder.parent().is_some_and(|parent| parent.ends_with("crates"));
        if is_library && !folder.join("README.md").is_file() {
            wrong.push(format!("{} has no README.md", folder.display()));
        }
    }
    Ok(wrong)
}

/// What is wrong with single files.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .flat_map(|source| rust(source).into_iter().chain(foreign(source)))
        .collect()
}

fn rust(Source { path, text }: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    if !path.ends_with(".rs") {
        return wrong;
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        wrong.push(format!(
            "{path} has {lines} lines: more than {MOST_LINES} want to be two files"
        ));
    }
    // A module of a test program is named after what it tests, and its tests say the rest.
    let is_test = path.contains("/tests/") || path.starts_with("tests/it/") || path.contains("/benches/");
    if !is_test && !text.starts_with("//!") {
        wrong.push(format!("{path} does not begin with a line of //! that says what it is"));
    }
    wrong
}

fn foreign(Source { path, text }: &Source) -> Vec<String> {
    let words = FOREIGN.iter().map(|(front, back)| format!("{front}{back}"));
    words
        .filter(|word| text.contains(word))
        .map(|word| format!("{path} speaks of `{word}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_a_silent_and_a_foreign_file_are_found() {
        let source = |path: &str, text: String| Source {
            path: path.to_owned(),
            text,
        };
        let wrong = check(&[
            source("crates/a/src/lib.rs", "//! A.\n".to_owned()),
            source(
                "crates/a/src/long.rs",
                format!("//! Long.\n{}", "\n".repeat(MOST_LINES)),
            ),
            source("crates/a/src/silent.rs", "fn a() {}\n".to_owned()),
            source("README.md", ["see /work", "/here"].concat()),
        ]);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("801 lines") && wrong[1].contains("silent.rs") && wrong[2].contains("README.md"));
    }
}
