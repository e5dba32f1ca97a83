//! Settings as loaded, and where each value came from.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    format::Format,
    parse,
    path::{KeyPath, Segment},
    problem::Problem,
    source::{Kind, Source},
    tree::{Node, Tree, Value},
};

/// Settings, with the warnings that loading them gave.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub value: T,
    /// What has no effect, or not the one that may be thought; sorted by place.
    pub warnings: Vec<Problem>,
    tree: Tree,
}

/// A key with the value that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key's path, such as `scanner.batch_size`.
    pub key: String,
    /// The value: text as it stands, anything else as JSON. A secret whose type serializes as `***` shows that.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// A file.
    File {
        /// Its name, as handed in.
        name: String,
        /// Line of the value, from 1.
        line: usize,
        /// Column of the value in characters, from 1.
        column: usize,
    },
    /// What a controller sent.
    Controller {
        /// Its name, as handed in.
        name: String,
        /// Line of the value, from 1.
        line: usize,
        /// Column of the value in characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Environment {
        /// The variable's name.
        name: String,
    },
    /// An option of the command line.
    Option {
        /// The option's name, such as `--log-level`.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Controller { name, line, column } => write!(f, "controller {name}:{line}:{column}"),
            Self::Environment { name } => write!(f, "environment {name}"),
            Self::Option { name } => write!(f, "option {name}"),
        }
    }
}

impl<T> Loaded<T> {
    pub(crate) fn new(value: T, warnings: Vec<Problem>, tree: Tree) -> Self {
        Self { value, warnings, tree }
    }

    /// Whether any layer sets a key, and where the value that is in force came from.
    pub fn origin(&self, key: &str) -> Origin {
        origin(&self.tree, &KeyPath::parse(key))
    }

    /// All layers as one tree, without the defaults.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}

impl<T: Serialize> Loaded<T> {
    /// Every key with its value and origin, in the order of the types; a list counts as one value.
    ///
    /// Values are those that the settings serialize to, so a secret is masked if its type masks itself. Empty if the
    /// settings cannot be written as JSON, as with a map whose keys are no text.
    pub fn effective(&self) -> Vec<Effective> {
        let mut effective = Vec::new();
        if let Some(root) = serialized(&self.value) {
            self.collect(&root, &mut KeyPath::default(), &mut effective);
        }
        effective
    }

    fn collect(&self, node: &Node, path: &mut KeyPath, effective: &mut Vec<Effective>) {
        if !node.entries().is_empty() {
            for entry in node.entries() {
                path.0.push(Segment::Key(entry.key.clone()));
                self.collect(&entry.node, path, effective);
                path.0.pop();
            }
        } else {
            let origin = origin(&self.tree, path);
            effective.push(Effective {
                key: path.to_string(),
                value: text(node),
                origin,
            });
        }
    }
}

/// A value as the tree that it serializes to, its keys in the order of its types.
///
/// By way of JSON text: of serde_json's own values, the order would be lost.
pub(crate) fn serialized<T: Serialize>(value: &T) -> Option<Node> {
    let text = serde_json::to_string(value).ok()?;
    parse::read(&Source::new("settings", text, Kind::File), Format::Json).0
}

/// A value as people read it: text as it stands, anything else as JSON.
fn text(node: &Node) -> String {
    node.text().map_or_else(|| json(node).to_string(), str::to_owned)
}

pub(crate) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) => serde_json::Number::from_i128(*number).map_or(Json::Null, Json::Number),
        Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Str(text) | Value::Plain(text) => Json::String(text.clone()),
        Value::Seq(elements) => Json::Array(elements.iter().map(json).collect()),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), json(&entry.node)))
                .collect(),
        ),
    }
}

fn origin(tree: &Tree, path: &KeyPath) -> Origin {
    // A value that a type makes of one scalar, such as a list from a variable, has no nodes of its own below it.
    let found = tree.nearest_above(path).map(|(node, _)| node);
    let Some(node) = found.filter(|node| tree.at(path).is_some() || !matches!(node.value, Value::Map(_))) else {
        return Origin::Default;
    };
    let place = node.place();
    let name = place.file;
    match node.at.source.kind() {
        Kind::File => Origin::File {
            name,
            line: place.line,
            column: place.column,
        },
        Kind::Controller => Origin::Controller {
            name,
            line: place.line,
            column: place.column,
        },
        Kind::Environment => Origin::Environment { name },
        Kind::CommandLine => Origin::Option { name },
    }
}
