//! Tree to typed value, with every problem found in one go.
//!
//! serde stops at the first error. So the value at fault is left out and the tree is read again, until nothing is at
//! fault or nothing is left. Every error carries the id of the node it concerns, which makes this exact.

mod access;
mod error;
mod node;
mod scalar;
mod words;

use std::collections::HashSet;

use serde::de::DeserializeOwned;

pub(crate) use error::Error;
use error::{Spot, What};
use node::Reader;

use crate::{
    nearest::{alternatives, nearest},
    path::KeyPath,
    problem::{Problem, Problems},
    secret::{self, MASK, Secrets},
    source::{Kind, Span},
    tree::{Node, Tree, Value},
};

/// After so many problems the rest is left for the next attempt: each costs one reading of the tree.
const MAX_PROBLEMS: usize = 200;

/// Makes a typed value of a tree.
///
/// Fields of structs are the known keys; any other key is a problem, whether or not the type says
/// `deny_unknown_fields`. Types must not use `#[serde(flatten)]` or `#[serde(untagged)]`: serde then reads through a
/// buffer of its own, in which places are lost and unknown keys pass.
///
/// # Errors
///
/// All problems at once, each at its place. For that, structs want `#[serde(default)]`, so that they can be read on
/// without the value at fault.
///
/// ```
/// use conf::{Format, from_tree, parse};
///
/// #[derive(serde::Deserialize, Default)]
/// #[serde(default)]
/// struct Task {
///     name: String,
///     ports: Vec<u16>,
/// }
///
/// let tree = parse("task.yaml", "nam: web\nports: [80, 70000]\n", Format::Yaml).unwrap();
/// let problems = from_tree::<Task>(&tree).err().unwrap();
/// let keys: Vec<_> = problems.iter().filter_map(conf::Problem::key).collect();
/// assert_eq!(keys, ["nam", "ports[1]"]);
/// ```
pub fn from_tree<T: DeserializeOwned>(tree: &Tree) -> Result<T, Problems> {
    let mut outcome = read::<T>(tree, HashSet::new(), Secrets::Named);
    hide_secrets(&mut outcome.problems, Some(tree), Secrets::Named);
    match (outcome.value, Problems::collect(outcome.problems)) {
        (_, Some(problems)) => Err(problems),
        (Some(value), None) => Ok(value),
        (None, None) => Err(Problems::one(Problem::error("the text could not be read"))),
    }
}

/// Makes a typed value of a part of a tree, for formats whose types depend on a key that is read first.
///
/// `key` is the path of the part, such as `tasks[0].copy`: it stands before the keys of problems.
///
/// # Errors
///
/// As [`from_tree`].
///
/// ```
/// let tree = conf::parse("task.yaml", "copy: {port: many}", conf::Format::Yaml).unwrap();
/// let part = tree.get("copy.port").unwrap();
/// let problems = conf::from_node::<u16>(part, "copy.port").unwrap_err();
/// assert_eq!(problems.iter().next().unwrap().key(), Some("copy.port"));
/// ```
pub fn from_node<T: DeserializeOwned>(node: &Node, key: &str) -> Result<T, Problems> {
    let result = from_tree(&Tree::new(node.clone()));
    result.map_err(|problems: Problems| problems.below(key))
}

/// What came of reading a tree.
pub(crate) struct Outcome<T> {
    /// The value, made of what is not at fault; absent if too much is.
    pub(crate) value: Option<T>,
    pub(crate) problems: Vec<Problem>,
    /// The paths that were left out.
    pub(crate) faulty: Vec<KeyPath>,
}

/// Reads a tree, leaving out `skip` from the start.
pub(crate) fn read<T: DeserializeOwned>(tree: &Tree, mut skip: HashSet<u32>, secrets: Secrets<'_>) -> Outcome<T> {
    let mut faulty: Vec<_> = skip
        .iter()
        .filter_map(|id| tree.find(*id))
        .map(|(path, _)| path)
        .collect();
    let mut problems = Vec::new();
    // Names that misspelt keys were meant to be, with their section: that they are missing merely follows.
    let mut meant: HashSet<(u32, String)> = HashSet::new();
    let value = loop {
        let mut error = match T::deserialize(Reader::new(tree.root(), &skip)) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        let mut id = error.spot.map_or(tree.root().id, |spot| spot.id);
        if let What::Twice(name) = error.what
            && let Some(entry) = tree.find(id).and_then(|(_, node)| node.entry(name))
        {
            // One of the two is left out, so that the section can be read on.
            id = entry.node.id;
            error.spot = Some(Spot { id, on_key: true });
        }
        let Some((path, node)) = tree.find(id) else { break None };
        let follows = match &error.what {
            What::Missing(name) => {
                meant.contains(&(id, (*name).to_owned()))
                    || node.entry(name).is_some_and(|entry| skip.contains(&entry.node.id))
            }
            What::UnknownKey { .. } | What::Twice(_) => false,
            _ => holds_any(node, &skip),
        };
        if let What::UnknownKey { name, known } = &error.what
            && let Some(near) = nearest(name, known.iter().copied())
            && let Some(parent) = parent(tree, &path)
        {
            meant.insert((parent.id, near.to_owned()));
        }
        if !follows || problems.is_empty() && skip.is_empty() {
            problems.push(problem(tree, error, &path, node, secrets.cover(&path)));
        }
        faulty.push(path);
        if id == tree.root().id || !skip.insert(id) || problems.len() >= MAX_PROBLEMS {
            break None;
        }
    };
    Outcome {
        value,
        problems,
        faulty,
    }
}

fn parent<'a>(tree: &'a Tree, path: &KeyPath) -> Option<&'a Node> {
    let above = path.0.get(..path.0.len().checked_sub(1)?)?;
    tree.at(&KeyPath(above.to_vec()))
}

fn holds_any(node: &Node, ids: &HashSet<u32>) -> bool {
    let mut holds = false;
    node.walk(&mut KeyPath::default(), &mut |_, inner| {
        holds |= inner.id != node.id && ids.contains(&inner.id)
    });
    holds
}

fn problem(tree: &Tree, error: Error, path: &KeyPath, node: &Node, hide: bool) -> Problem {
    let wants_section = matches!(&error.what, What::Type { expected, .. } if expected.starts_with(words::A_SECTION));
    let mut problem = match error.what.clone() {
        What::UnknownKey { name, known } => {
            Problem::error(format!("unknown key `{name}`")).with_help(match nearest(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "check its spelling, or remove it".to_owned(),
                None if known.len() <= 12 => format!("known here: {}", alternatives(known.iter().copied())),
                None => format!("{} keys are known here, none of them like it", known.len()),
            })
        }
        What::Missing(name) => Problem::error(format!("the key `{name}` is missing")),
        What::Choice { known, .. } if hide => {
            let expected = alternatives(known.iter().copied());
            Problem::error(format!("expected {expected}, found {}", kind(node)))
        }
        What::Choice { found, known } => {
            let problem = Problem::error(format!(
                "expected {}, found {found}",
                alternatives(known.iter().copied())
            ));
            match nearest(found.trim_matches('`'), known.iter().copied()) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem,
            }
        }
        What::Type { expected, .. } if hide => Problem::error(format!("expected {expected}, found {}", kind(node))),
        What::Type { expected, found } => Problem::error(format!("expected {expected}, found {found}")),
        What::Twice(_) => Problem::error(error.to_string()),
        What::Other(message) => {
            let said = node.text().filter(|text| hide && !text.is_empty());
            Problem::error(said.map_or(message.clone(), |text| message.replace(text, MASK)))
        }
    };
    if let Some(help) = error.help.filter(|_| !hide) {
        problem = problem.with_help(help);
    }
    if wants_section && let Some(help) = inline_help(path, node) {
        problem = problem.with_help(help);
    }
    let entry_at = match path.0.last() {
        Some(crate::path::Segment::Key(key)) => parent(tree, path)
            .and_then(|above| above.entry(key))
            .map(|entry| &entry.at),
        _ => None,
    };
    let at: &Span = if error.spot.is_some_and(|spot| spot.on_key) {
        entry_at.unwrap_or(&node.at)
    } else {
        &node.at
    };
    if path.is_root() && matches!(node.value, Value::Map(_)) {
        // The whole text is no place to point at, and without any text there is none.
        if node.at.source.text().is_empty() {
            return problem;
        }
        return problem.at(&node.at.source.span(0..0));
    }
    problem.at(at).with_key(path.to_string())
}

/// What kind of value it is, without the value.
fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Str(_) | Value::Plain(_) => "text",
        Value::Seq(_) => "a list",
        Value::Map(_) => "a section",
    }
}

/// How a section is written in a variable or an option.
fn inline_help(path: &KeyPath, node: &Node) -> Option<String> {
    let source = &node.at.source;
    let each = match source.kind() {
        Kind::Environment => format!("{}__KEY", source.name()),
        Kind::CommandLine => format!("{path}.KEY=VALUE"),
        Kind::File | Kind::Controller => return None,
    };
    Some(format!(
        "write it as JSON, `{{\"key\": \"value\"}}`, or set each key by itself: `{each}`"
    ))
}

/// Marks what the pictures of these problems must not show: the values of keys that are or may be secrets.
pub(crate) fn hide_secrets(problems: &mut [Problem], tree: Option<&Tree>, known: Secrets<'_>) {
    if problems.is_empty() {
        return;
    }
    let mut secrets: Vec<&Span> = Vec::new();
    if let Some(tree) = tree {
        tree.root().walk(&mut KeyPath::default(), &mut |path, node| {
            let leaf = !matches!(node.value, Value::Map(_) | Value::Seq(_) | Value::Null);
            if leaf && known.cover(path) && !names_a_variable(&node.at) {
                secrets.push(&node.at);
            }
        });
    }
    for problem in problems {
        let Some(span) = &problem.span else { continue };
        let source = &span.source;
        problem.hidden.extend(
            secrets
                .iter()
                .filter(|at| at.source.same(source))
                .map(|at| at.start..at.end),
        );
        if problem.is_syntax {
            problem.hidden.extend(known.in_broken_line(span));
        }
        let secret_key = problem.key.as_deref().is_some_and(secret::is_secret);
        if source.kind().is_single() && (secret_key || secret::is_secret(source.name())) {
            problem.hidden.push(0..source.text().len());
        }
    }
}

/// Whether the text at `at` is a bare `${NAME}`: that is no secret, and seeing it helps.
fn names_a_variable(at: &Span) -> bool {
    let text = at
        .source
        .text()
        .get(at.start..at.end)
        .unwrap_or_default()
        .trim_matches(['"', '\'']);
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}
