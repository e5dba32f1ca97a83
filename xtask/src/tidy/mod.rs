//! The layout of the workspace: which crate may use which, how large files may be, what every crate has.
mod edges;
mod rows;
mod sources;

use crate::process;
use anyhow::{Result, bail};
use std::process::Command;

pub(crate) fn run() -> Result<()> {
    let metadata = process::metadata()?;
    let sources = sources()?;
    let wrong = [
        edges::check(&metadata)?,
        sources::members(&metadata)?,
        sources::check(&sources),
        rows::check(&table(&sources), &sources),
    ]
    .concat();
    if !wrong.is_empty() {
        bail!("the layout is not kept:\n  {}", wrong.join("\n  "));
    }
    eprintln!("layout: kept");
    Ok(())
}

/// A text file of the project.
struct Source {
    /// From the root, with slashes.
    path: String,
    text: String,
}

/// Every text file that git has or would take.
fn sources() -> Result<Vec<Source>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(process::root());
    let listed = process::output(git)?;
    let read = |path: &str| {
        // A file that git lists and that is not there was just deleted; one that is not text has no lines to check.
        let text = std::fs::read_to_string(process::root().join(path)).ok()?;
        Some(Source {
            path: path.to_owned(),
            text,
        })
    };
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(read)
        .collect())
}

fn table(sources: &[Source]) -> String {
    let rows = sources.iter().find(|source| source.path == "docs/rows.md");
    rows.map(|source| source.text.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_takes_the_lints_and_explains_itself() {
        assert_eq!(
            sources::members(&process::metadata().unwrap()).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn sources_are_short_and_say_what_they_are() {
        assert_eq!(sources::check(&sources().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn every_test_that_a_row_names_is_there() {
        let sources = sources().unwrap();
        assert_eq!(rows::check(&table(&sources), &sources), Vec::<String>::new());
    }
}
