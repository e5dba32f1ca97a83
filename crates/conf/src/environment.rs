//! Environment variables as settings.

use std::collections::BTreeMap;

use crate::{
    nearest::nearest,
    path::KeyPath,
    problem::Problem,
    schema::{Found, Keys},
    source::{Kind, Source, Span},
    tree::{Entry, Node, Value},
};

/// Which environment variables are settings.
///
/// With the prefix `SCANNER`, the variable `SCANNER__SCANNER__BATCH_SIZE` is the key `scanner.batch_size`: upper or
/// lower case alike, and `-` as good as `_`. A variable that begins with `SCANNER_` and names no key is a problem.
/// What Kubernetes sets of itself for a service of that name (`SCANNER_SERVICE_HOST`, `SCANNER_PORT_80_TCP` …) is
/// ignored.
#[derive(Clone, Copy, Debug)]
pub struct EnvironmentSpec {
    /// The prefix, without its underscore: `SCANNER`.
    pub prefix: &'static str,
    /// Short names with their keys: `("SCANNER_API_KEY", "server.api_key")`. The long name wins where both are set.
    pub short: &'static [(&'static str, &'static str)],
    /// Variables with the prefix that are no settings, such as `SCANNER_CONFIG`: ignored here.
    pub other: &'static [&'static str],
}

/// One small tree for each variable that is a setting, the lowest first, and what is wrong with the others.
pub(crate) fn read(
    spec: &EnvironmentSpec,
    vars: impl IntoIterator<Item = (String, String)>,
    keys: &Keys,
) -> (Vec<Node>, Vec<Problem>) {
    let start = format!("{}_", spec.prefix);
    let long_start = format!("{}__", spec.prefix);
    // Sorted, so that the same variables always give the same result.
    let vars: BTreeMap<String, String> = vars.into_iter().filter(|(name, _)| begins(name, &start)).collect();
    let (mut short, mut long, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken: BTreeMap<KeyPath, String> = BTreeMap::new();
    for (name, value) in vars {
        let same = |known: &str| known.eq_ignore_ascii_case(&name);
        if spec.other.iter().any(|known| same(known)) {
            continue;
        }
        if let Some((_, key)) = spec.short.iter().find(|(known, _)| same(known)) {
            short.push(overlay(&name, value, Kind::Environment, &KeyPath::parse(key)));
            continue;
        }
        let path = if begins(&name, &long_start) {
            name.get(long_start.len()..).and_then(|rest| key(rest, keys))
        } else {
            None
        };
        let Some(path) = path else {
            if !is_of_kubernetes(name.get(start.len()..).unwrap_or_default(), &value) {
                problems.push(unknown(spec, &name, keys));
            }
            continue;
        };
        if let Some(first) = taken.insert(path.clone(), name.clone()) {
            problems.push(Problem::error(format!(
                "the environment variables `{first}` and `{name}` both set `{path}`"
            )));
        }
        long.push(overlay(&name, value, Kind::Environment, &path));
    }
    (short.into_iter().chain(long).collect(), problems)
}

/// A tree of one path, whose value is a line of text.
pub(crate) fn overlay(name: &str, value: String, kind: Kind, path: &KeyPath) -> Node {
    let source = Source::new(name, value.clone(), kind);
    let at: Span = source.span(0..source.text().len());
    let keys: Vec<&str> = path.keys().collect();
    let leaf = Node::new(at.clone(), Value::Plain(value));
    keys.iter().rev().fold(leaf, |node, key| {
        let entry = Entry {
            key: (*key).to_owned(),
            at: at.clone(),
            node,
        };
        Node::new(at.clone(), Value::Map(vec![entry]))
    })
}

fn begins(name: &str, start: &str) -> bool {
    name.get(..start.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

/// The key that `SCANNER__BATCH_SIZE`, without the prefix, names.
fn key(rest: &str, keys: &Keys) -> Option<KeyPath> {
    let mut path = Vec::new();
    let mut at = Found::Schema(keys.root());
    for name in rest.split("__") {
        if name.is_empty() {
            return None;
        }
        let (key, next) = match at {
            Found::Schema(schema) => keys.child(schema, name)?,
            Found::Free => (crate::nearest::plain(name), Found::Free),
        };
        path.push(key);
        at = next;
    }
    Some(KeyPath::of_keys(path.iter().map(String::as_str)))
}

fn unknown(spec: &EnvironmentSpec, name: &str, keys: &Keys) -> Problem {
    let problem = Problem::error(format!("the environment variable `{name}` names no setting"));
    let long = keys.leaves().into_iter().map(|path| {
        let parts: Vec<&str> = path.keys().collect();
        format!("{}__{}", spec.prefix, parts.join("__"))
            .to_ascii_uppercase()
            .replace('-', "_")
    });
    let short = spec
        .short
        .iter()
        .map(|(name, _)| *name)
        .chain(spec.other.iter().copied())
        .map(str::to_owned);
    let known: Vec<String> = short.chain(long).collect();
    // `SCANNER_SCANNER_BATCH_SIZE` lacks only an underscore.
    let single = |name: &str| name.to_ascii_lowercase().replace("__", "_");
    let singles: Vec<String> = known.iter().map(|name| single(name)).collect();
    let near = nearest(&single(name), singles.iter().map(String::as_str));
    let near = near
        .and_then(|near| singles.iter().position(|name| name == near))
        .and_then(|at| known.get(at));
    match near {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help(format!(
            "unset it; a key of the settings is written `{}__SECTION__KEY`",
            spec.prefix
        )),
    }
}

/// Whether Kubernetes set this variable for a service that bears our prefix as its name.
fn is_of_kubernetes(rest: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let of_port = rest
        .strip_prefix("PORT_")
        .is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()));
    rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT") || of_port || rest == "PORT" && is_address
}
