//! Which crate may use which.
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;

/// Who may use whom, inside the workspace, in normal and build dependencies. A crate of `bins/` may use any library;
/// xtask, the fuzzers and the end-to-end package
/// may use any crate.
const EDGES: &[(&str, &[&str])] = &[
    ("core-model", &[]),
    ("conf", &[]),
    ("schedule", &[]),
    ("clamd-proto", &[]),
    ("fleet-wire", &["core-model"]),
    ("state-sqlite", &["core-model"]),
    ("transport-http", &["core-model"]),
    ("telemetry-otel", &["core-model"]),
    ("netcheck", &["core-model"]),
    ("fsscan", &["core-model"]),
    ("fleet-core", &["core-model", "schedule", "fleet-wire", "state-sqlite"]),
    (
        "daemon-kit",
        &[
            "core-model",
            "conf",
            "schedule",
            "telemetry-otel",
            "transport-http",
            "state-sqlite",
        ],
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

/// Who may use anything, testkit included.
const TOOLS: [&str; 3] = ["xtask", "e2e", "fuzz"];

/// What the ground may use from outside, optional dependencies included: no runtime, no I/O.
const GROUND: [(&str, &[&str]); 2] = [
    ("core-model", &["chrono", "schemars", "serde", "thiserror", "uuid"]),
    (
        "schedule",
        &[
            "chrono",
            "chrono-tz",
            "cron",
            "schemars",
            "serde",
            "strsim",
            "thiserror",
        ],
    ),
];

/// What is wrong with the dependencies of the workspace's members.
pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let members: BTreeSet<&str> = packages.iter().map(name).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let user = name(package);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = name(dependency);
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let is_wet = |(ground, may): &(&str, &[&str])| user == *ground && !may.contains(&used);
            if GROUND.iter().any(is_wet) {
                wrong.push(format!("{user} uses {used}: the ground takes no runtime and no I/O"));
            } else if members.contains(used) && !is_allowed(package, user, used) {
                wrong.push(format!(
                    "{user} may not use {used} (docs/architecture.md has the floors)"
                ));
            }
        }
    }
    // A table that lists what is not there would soon be taken for the layout.
    let gone = EDGES.iter().filter(|(library, _)| !members.contains(library));
    wrong.extend(gone.map(|(library, _)| format!("the table of allowed edges names {library}, which is not there")));
    Ok(wrong)
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

fn is_allowed(package: &Value, user: &str, used: &str) -> bool {
    if TOOLS.contains(&user) {
        return true;
    }
    if let Some((_, allowed)) = EDGES.iter().find(|(library, _)| *library == user) {
        return allowed.contains(&used);
    }
    let manifest = package["manifest_path"].as_str().unwrap_or_default().replace('\\', "/");
    manifest.contains("/bins/") && used != "testkit" && EDGES.iter().any(|(library, _)| *library == used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_allowed_edges_hold() {
        assert_eq!(
            check(&crate::process::metadata().unwrap()).unwrap(),
            Vec::<String>::new()
        );
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
        let mut packages = vec![
            package(
                "core-model",
                "crates",
                &[("tokio", None), ("serde", None), ("proptest", Some("dev"))],
            ),
            package("schedule", "crates", &[("chrono", None), ("tokio", None)]),
            package("testkit", "crates", &[]),
            package(
                "fsscan",
                "crates",
                &[("state-sqlite", Some("build")), ("testkit", Some("dev"))],
            ),
            package("state-sqlite", "crates", &[("core-model", None), ("rusqlite", None)]),
            package(
                "scanner",
                "bins",
                &[("fsscan", None), ("testkit", None), ("other", None)],
            ),
            package("other", "bins", &[]),
            package("unheard-of", "crates", &[("core-model", None)]),
            package("xtask", "", &[("testkit", None)]),
        ];
        let rest = EDGES
            .iter()
            .filter(|(library, _)| !packages.iter().any(|package| name(package) == *library));
        let rest: Vec<Value> = rest.map(|(library, _)| package(library, "crates", &[])).collect();
        packages.extend(rest);
        let wrong = check(&json!({ "packages": packages })).unwrap();
        let wanted = [
            "core-model uses tokio",
            "schedule uses tokio",
            "fsscan may not use state-sqlite",
            "scanner may not use testkit",
            "scanner may not use other",
            "unheard-of may not use core-model",
        ];
        assert_eq!(wrong.len(), wanted.len(), "{wrong:?}");
        for (found, wanted) in wrong.iter().zip(wanted) {
            assert!(found.starts_with(wanted), "{found}");
        }
    }
}
