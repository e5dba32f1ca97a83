//! The layout of the workspace: which crate may use which, how large files may be, what every crate has.
use crate::process;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// Who may use whom, inside the workspace, in normal and build dependencies. A crate of `bins/` may use any library;
/// xtask and the end-to-end package may use any crate.
const EDGES: &[(&str, &[&str])] = &[
    ("core-model", &[]),
    ("conf", &[]),
    ("fleet-wire", &["core-model"]),
    ("state-sqlite", &["core-model"]),
    ("transport-http", &["core-model"]),
    ("telemetry-otel", &["core-model"]),
    ("fsscan", &["core-model"]),
    ("fleet-core", &["core-model", "fleet-wire", "state-sqlite"]),
    (
        "daemon-kit",
        &["core-model", "conf", "telemetry-otel", "transport-http", "state-sqlite"],
    ),
    (
        "fleet-link",
        &[
            "daemon-kit",
            "fleet-wire",
            "core-model",
            "state-sqlite",
            "transport-http",
        ],
    ),
    (
        "fleet-api",
        &["fleet-core", "fleet-wire", "daemon-kit", "transport-http", "core-model"],
    ),
    ("testkit", &[]),
];

/// What the ground may use from outside: no runtime, no I/O.
const GROUND: (&str, &[&str]) = ("core-model", &["chrono", "schemars", "serde", "thiserror", "uuid"]);

/// A file longer than this wants to be two.
const MOST_LINES: usize = 800;

pub(crate) fn run() -> Result<()> {
    let metadata = metadata()?;
    let mut wrong = edges(&metadata)?;
    wrong.extend(members(&metadata)?);
    wrong.extend(sources()?);
    wrong.extend(rows()?);
    if !wrong.is_empty() {
        bail!("the layout is not kept:\n  {}", wrong.join("\n  "));
    }
    eprintln!("layout: kept");
    Ok(())
}

fn metadata() -> Result<Value> {
    let text = process::output(process::cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&text).context("cargo metadata is no JSON")
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")
}

fn edges(metadata: &Value) -> Result<Vec<String>> {
    let packages = packages(metadata)?;
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = packages.iter().map(name).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let user = name(package);
        let is_tool = matches!(user.as_str(), "xtask" | "e2e");
        let is_program = package["manifest_path"]
            .as_str()
            .is_some_and(|path| path.contains("/bins/"));
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = name(dependency);
            let is_dev = dependency["kind"].as_str() == Some("dev");
            if user == GROUND.0 && !is_dev && !GROUND.1.contains(&used.as_str()) {
                wrong.push(format!("{user} uses {used}: the ground takes no runtime and no I/O"));
            }
            if !names.contains(&used) || is_tool || is_dev {
                continue;
            }
            let allowed = EDGES.iter().find(|(crate_name, _)| *crate_name == user);
            let is_allowed = match allowed {
                Some((_, allowed)) => allowed.contains(&used.as_str()),
                None => is_program && used != "testkit" && EDGES.iter().any(|(library, _)| *library == used),
            };
            if !is_allowed {
                wrong.push(format!(
                    "{user} may not use {used} (docs/architecture.md has the floors)"
                ));
            }
        }
    }
    Ok(wrong)
}

fn members(metadata: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for package in packages(metadata)? {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let text = fs::read_to_string(manifest).with_context(|| format!("could not read {}", manifest.display()))?;
        let folder = manifest.parent().unwrap_or(Path::new("."));
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{} does not take the workspace's lints", manifest.display()));
        }
        if folder.parent().is_some_and(|parent| parent.ends_with("crates")) && !folder.join("README.md").is_file() {
            wrong.push(format!("{} has no README.md", folder.display()));
        }
    }
    Ok(wrong)
}

/// Every file that git has or would take, as paths from the root.
fn files() -> Result<Vec<String>> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(process::root());
    Ok(process::output(git)?.lines().map(str::to_owned).collect())
}

fn sources() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in files()?.iter().filter(|file| file.ends_with(".rs")) {
        let Ok(text) = fs::read_to_string(process::root().join(file)) else {
            continue;
        };
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!(
                "{file} has {lines} lines: more than {MOST_LINES} want to be two files"
            ));
        }
        let is_module = !file.contains("/tests/") && !file.starts_with("tests/") && !file.contains("/benches/");
        if is_module && !text.trim_start().starts_with("//!") {
            wrong.push(format!("{file} does not begin with a line of //! that says what it is"));
        }
    }
    Ok(wrong)
}

/// Every test that docs/rows.md names must be there.
fn rows() -> Result<Vec<String>> {
    let table = fs::read_to_string(process::root().join("docs/rows.md")).context("could not read docs/rows.md")?;
    let mut known = BTreeSet::new();
    for file in files()?.iter().filter(|file| file.ends_with(".rs")) {
        let Ok(text) = fs::read_to_string(process::root().join(file)) else {
            continue;
        };
        let functions = text.split("fn ").skip(1);
        known.extend(
            functions
                .filter_map(|rest| rest.split(['(', '<']).next())
                .map(str::to_owned),
        );
    }
    let named = table.lines().filter(|line| line.starts_with('|')).flat_map(|line| {
        let proofs = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        proofs
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let lost = named.filter(|name| name.contains('_') && !known.contains(name));
    Ok(lost
        .map(|name| format!("docs/rows.md names the test `{name}`, which is not there"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_allowed_edges_hold() {
        assert_eq!(edges(&metadata().unwrap()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_is_not_allowed_is_found() {
        let package = |name: &str, folder: &str, uses: &[(&str, Option<&str>)]| {
            let uses: Vec<Value> = uses
                .iter()
                .map(|(name, kind)| json!({"name": name, "kind": kind}))
                .collect();
            json!({"name": name, "manifest_path": format!("/w/{folder}/{name}/Cargo.toml"), "dependencies": uses})
        };
        let metadata = json!({"packages": [
            package("core-model", "crates", &[("tokio", None)]),
            package("testkit", "crates", &[]),
            package("fsscan", "crates", &[("state-sqlite", None), ("testkit", Some("dev"))]),
            package("state-sqlite", "crates", &[("core-model", None)]),
            package("scanner", "bins", &[("fsscan", None), ("testkit", None)]),
        ]});
        let wrong = edges(&metadata).unwrap();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("tokio") && wrong[1].contains("state-sqlite") && wrong[2].contains("testkit"));
    }
}
