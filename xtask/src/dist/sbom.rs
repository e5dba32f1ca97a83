//! The bill of materials of a product: CycloneDX 1.6 as JSON, of exactly the crates that its program links.
//!
//! `cargo tree` resolves the features of one package and leaves out what only builds and tests use; `cargo metadata` knows
//! the licences; the lock file has the checksums of what was downloaded. A page of code does it, so that no crate is
//! taken in for it.
use super::{hex, stamp::Stamp};
use crate::process;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Name and version.
type Id = (String, String);

/// A crate, or C code that one brings along.
pub(super) struct Part {
    id: Id,
    purl: String,
    licence: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    sha256: Option<String>,
    uses: BTreeSet<Id>,
}

/// Everything in `product` for `target`; the first is the product itself.
pub(super) fn parts(product: &str, target: &str) -> Result<Vec<Part>> {
    let args = [
        "tree",
        "--locked",
        "-p",
        product,
        "-e",
        "normal,no-proc-macro",
        "--target",
        target,
    ];
    let mut tree = process::cargo(&args);
    tree.args(["--prefix", "depth", "--format", " {p}"]);
    let edges = edges(&process::output(tree)?)?;
    let metadata = process::output(process::cargo(&["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let lock = fs::read_to_string(process::root().join("Cargo.lock")).context("could not read Cargo.lock")?;
    let sums = checksums(&lock);
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let packages: BTreeMap<Id, &Value> = packages
        .iter()
        .map(|package| ((text(package, "name"), text(package, "version")), package))
        .collect();
    let mut parts = Vec::new();
    let mut brought = Vec::new();
    for (id, mut uses) in edges {
        let package = packages
            .get(&id)
            .with_context(|| format!("cargo metadata does not know {} {}", id.0, id.1))?;
        if let Some(code) = c_code(&id, package)? {
            uses.insert(code.id.clone());
            brought.push(code);
        }
        let written = |key: &str| package[key].as_str().map(str::to_owned);
        parts.push(Part {
            purl: purl(&id, package["source"].is_null()),
            licence: written("license"),
            description: written("description"),
            repository: written("repository"),
            sha256: sums.get(&id).cloned(),
            id,
            uses,
        });
    }
    parts.append(&mut brought);
    parts.sort_by(|one, other| (one.id.0 != product, &one.id).cmp(&(other.id.0 != product, &other.id)));
    Ok(parts)
}

/// Where a crate is known by. Ours are in no registry, where others may bear the same names.
fn purl((name, version): &Id, is_ours: bool) -> String {
    let kind = if is_ours { "generic/shoal" } else { "cargo" };
    format!("pkg:{kind}/{name}@{}", version.replace('+', "%2B"))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Who uses whom, from lines such as `2 serde v1.0.0 (…)`: each stands below the last of one level less.
fn edges(tree: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let read = || {
            let mut words = line.split(' ');
            let depth: usize = words.next()?.parse().ok()?;
            Some((
                depth,
                (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()),
            ))
        };
        let (depth, id) = read().with_context(|| format!("cargo tree wrote `{line}`"))?;
        above.truncate(depth);
        if let Some(user) = above.last() {
            edges.entry(user.clone()).or_default().insert(id.clone());
        }
        edges.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(edges)
}

/// The checksums of a lock file.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let value = |package: &str, key: &str| {
        let line = package
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|quoted| quoted.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| {
            Some((
                (value(package, "name")?, value(package, "version")?),
                value(package, "checksum")?,
            ))
        })
        .collect()
}

/// C code that a crate compiles into the program: no registry knows it, but whoever looks for holes in it must.
fn c_code((name, version): &Id, package: &Value) -> Result<Option<Part>> {
    let folder = Path::new(package["manifest_path"].as_str().unwrap_or_default())
        .parent()
        .unwrap_or(Path::new("."));
    let (code, version, licence) = match name.as_str() {
        "libsqlite3-sys" => {
            let header = fs::read_to_string(folder.join("sqlite3/sqlite3.h")).context("no header of SQLite")?;
            let defined = header
                .lines()
                .find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
            let version = defined
                .context("SQLite's header has no version")?
                .trim()
                .trim_matches('"');
            ("sqlite", version.to_owned(), "blessing")
        }
        "zstd-sys" => {
            let (_, version) = version
                .split_once("+zstd.")
                .context("zstd-sys does not say which zstd it brings")?;
            ("zstd", version.to_owned(), "BSD-3-Clause")
        }
        _ => return Ok(None),
    };
    Ok(Some(Part {
        purl: format!("pkg:generic/{code}@{version}"),
        licence: Some(licence.to_owned()),
        description: Some(format!("C code compiled into the program by {name}")),
        repository: None,
        sha256: None,
        id: (code.to_owned(), version),
        uses: BTreeSet::new(),
    }))
}

/// The document.
pub(super) fn document(product: &str, parts: &[Part], stamp: &Stamp) -> Result<Value> {
    let (own, others) = parts.split_first().with_context(|| format!("{product} has no parts"))?;
    let purls: BTreeMap<&Id, &str> = parts.iter().map(|part| (&part.id, part.purl.as_str())).collect();
    let dependencies: Vec<Value> = parts
        .iter()
        .map(|part| {
            let uses: Vec<&str> = part.uses.iter().filter_map(|id| purls.get(id).copied()).collect();
            json!({"ref": part.purl, "dependsOn": uses})
        })
        .collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": stamp.text(),
            "tools": {"components": [{
                "type": "application",
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": component(own, "application"),
        },
        "components": others.iter().map(|part| component(part, "library")).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    // Made from the content, so that the same content has the same number (RFC 9562, version 8).
    let hash = Sha256::digest(document.to_string());
    let mut id = hex(&hash[..16]);
    id.replace_range(12..13, "8");
    id.replace_range(16..17, "a");
    let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    document["serialNumber"] = json!(format!("urn:uuid:{id}"));
    Ok(document)
}

fn component(part: &Part, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": part.purl,
        "name": part.id.0,
        "version": part.id.1,
        "purl": part.purl,
    });
    if let Some(licence) = &part.licence {
        // Old manifests part alternatives by a slash, which is no SPDX expression.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(description) = &part.description {
        component["description"] = json!(description.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if let Some(repository) = &part.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    if let Some(sha256) = &part.sha256 {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_cargo_becomes_edges_and_repeats_keep_theirs() {
        let tree = "0 a v0.1.0 (/w/a)\n1 b v1.0.0\n2 c v2.0.0+x.1\n1 d v1.0.0\n2 b v1.0.0 (*)\n\n";
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let edges = edges(tree).unwrap();
        assert_eq!(edges.len(), 4);
        assert_eq!(
            edges[&id("a", "0.1.0")],
            BTreeSet::from([id("b", "1.0.0"), id("d", "1.0.0")])
        );
        assert_eq!(edges[&id("b", "1.0.0")], BTreeSet::from([id("c", "2.0.0+x.1")]));
        assert_eq!(edges[&id("d", "1.0.0")], BTreeSet::from([id("b", "1.0.0")]));
        assert!(super::edges("a tree of another cargo").is_err());
    }

    /// What the schema of CycloneDX 1.6 asks of a document, as far as ours use it.
    fn is_valid(document: &Value) -> Result<(), String> {
        let check = |fits: bool, what: &str| if fits { Ok(()) } else { Err(what.to_owned()) };
        check(document["bomFormat"] == "CycloneDX", "bomFormat")?;
        check(document["specVersion"] == "1.6", "specVersion")?;
        check(
            document["version"].as_u64().is_some_and(|version| version >= 1),
            "version",
        )?;
        let serial = document["serialNumber"].as_str().unwrap_or_default();
        let id = serial.strip_prefix("urn:uuid:").unwrap_or_default();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        check(lengths == [8, 4, 4, 4, 12], "serialNumber")?;
        let mut refs = BTreeSet::new();
        let others = document["components"].as_array().ok_or("components")?;
        for component in others.iter().chain([&document["metadata"]["component"]]) {
            let name = component["name"].as_str().unwrap_or_default();
            check(!name.is_empty(), "a component's name")?;
            check(
                ["application", "library"].contains(&component["type"].as_str().unwrap_or("")),
                name,
            )?;
            check(
                component["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:")),
                name,
            )?;
            check(
                refs.insert(component["bom-ref"].as_str().ok_or(name)?),
                "a bom-ref is there twice",
            )?;
            check(
                component["licenses"][0]["expression"]
                    .as_str()
                    .is_some_and(|text| !text.contains('/')),
                name,
            )?;
            for hash in component["hashes"].as_array().into_iter().flatten() {
                let content = hash["content"].as_str().unwrap_or_default();
                let fits = content.len() == 64 && content.chars().all(|c| c.is_ascii_hexdigit());
                check(hash["alg"] == "SHA-256" && fits, name)?;
            }
        }
        for dependency in document["dependencies"].as_array().ok_or("dependencies")? {
            let uses = dependency["dependsOn"].as_array().into_iter().flatten();
            for id in uses.chain([&dependency["ref"]]) {
                check(
                    id.as_str().is_some_and(|id| refs.contains(id)),
                    "a dependency on nothing",
                )?;
            }
        }
        Ok(())
    }

    #[test]
    fn the_bill_names_what_the_product_links_and_nothing_else() {
        let parts = parts("scanner", &super::super::host().unwrap()).unwrap();
        let stamp = Stamp { epoch: 1_700_000_000 };
        let bill = document("scanner", &parts, &stamp).unwrap();
        assert_eq!(is_valid(&bill), Ok(()));
        assert_eq!(bill["metadata"]["component"]["name"], "scanner");
        assert_eq!(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        let names: BTreeSet<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        for linked in ["fsscan", "rusqlite", "libsqlite3-sys", "sqlite", "tokio"] {
            assert!(names.contains(linked), "{linked} is linked");
        }
        for other in ["proptest", "testkit", "fleet-core", "serde_derive", "xtask", "cc"] {
            assert!(!names.contains(other), "{other} is not linked");
        }
        let rusqlite = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == "rusqlite")
            .unwrap();
        assert!(rusqlite["hashes"][0]["content"].is_string() && rusqlite["licenses"][0]["expression"] == "MIT");
        let conf = parts.iter().find(|part| part.id.0 == "conf").unwrap();
        assert_eq!(
            conf.purl,
            format!("pkg:generic/shoal/conf@{}", conf.id.1),
            "no crate of a registry"
        );
        assert_eq!(document("scanner", &parts, &stamp).unwrap(), bill, "the same again");
    }
}
