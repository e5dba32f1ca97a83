//! A commented example of settings, made of their schema and their defaults.

mod toml;
mod yaml;

use serde_json::Value as Json;

use crate::{
    format::Format,
    loaded::{json, serialized},
    parse,
    schema::Keys,
    settings::Settings,
    source::{Kind, Source},
    tree::Node,
};

/// A commented example in YAML: every key with its description, and its default commented out.
///
/// Descriptions are `# text`, keys that may be left out `#key: default`. Keys that must be given stand uncommented
/// with an empty value. It loads as it stands if no key must be given, and to the same values once the keys that
/// have a default are uncommented. What [`Settings::examples`] has of a key follows it, behind `# `.
///
/// ```
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, JsonSchema, Default)]
/// #[serde(default)]
/// struct Server {
///     /// How often a request is tried again.
///     retries: u32,
/// }
/// impl conf::Settings for Server {}
///
/// assert_eq!(conf::annotated_example::<Server>(), "# How often a request is tried again.\n#retries: 0\n");
/// ```
pub fn annotated_example<T: Settings>() -> String {
    ended(&yaml::lines(&items::<T>()))
}

/// The same in TOML. In each section the keys that are no sections come first. Keys without a default are `#key =`: TOML
/// has no word for nothing.
///
/// ```
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, JsonSchema, Default)]
/// # #[serde(default)]
/// # struct Server {
/// #     /// How often a request is tried again.
/// #     retries: u32,
/// # }
/// # impl conf::Settings for Server {}
/// assert_eq!(conf::annotated_example_toml::<Server>(), "# How often a request is tried again.\n#retries = 0\n");
/// ```
pub fn annotated_example_toml<T: Settings>() -> String {
    ended(&toml::lines(&items::<T>()))
}

fn ended(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// How deep sections are followed: a type may hold itself.
const MAX_DEPTH: usize = 16;

/// A key with what is said of it.
struct Item {
    key: String,
    description: String,
    is_required: bool,
    what: What,
}

enum What {
    /// A section; whether it is absent by default.
    Section { items: Vec<Item>, is_absent: bool },
    /// A default, and an example of another value.
    Value { default: Json, example: Option<Node> },
}

fn items<T: Settings>() -> Vec<Item> {
    let (keys, defaults) = (Keys::of::<T>(), serialized(&T::default()));
    let collector = Collector {
        keys: &keys,
        examples: T::examples(),
    };
    collector.section(keys.root(), defaults.as_ref(), &mut Vec::new())
}

struct Collector<'a> {
    keys: &'a Keys,
    examples: &'a [(&'a str, &'a str)],
}

impl<'a> Collector<'a> {
    fn section(&self, schema: &'a Json, defaults: Option<&Node>, path: &mut Vec<&'a str>) -> Vec<Item> {
        let schema = self.keys.resolve(schema);
        // In the order of the types where it is known, and in that of the schema otherwise.
        let order = defaults.map(Node::entries).unwrap_or_default();
        let position = |key: &str| order.iter().position(|entry| entry.key == key).unwrap_or(usize::MAX);
        let mut properties = self.keys.properties(schema);
        properties.sort_by_key(|(key, _)| position(key));
        let required = |key: &str| {
            let list = schema.get("required").and_then(Json::as_array);
            list.is_some_and(|list| list.iter().any(|name| name == key))
        };
        let mut items = Vec::with_capacity(properties.len());
        for (key, property) in properties {
            path.push(key);
            let default = defaults.and_then(|defaults| defaults.get(key));
            let inner = self.keys.resolve(property);
            let description = [property, inner]
                .iter()
                .find_map(|schema| schema.get("description")?.as_str().map(str::to_owned));
            let what = if inner.get("properties").is_some() && path.len() <= MAX_DEPTH {
                What::Section {
                    items: self.section(inner, default, path),
                    is_absent: default.is_none_or(|default| default.entries().is_empty()),
                }
            } else {
                What::Value {
                    default: value(default, property, inner),
                    example: self.example(&path.join(".")),
                }
            };
            path.pop();
            items.push(Item {
                key: key.to_owned(),
                description: description.unwrap_or_default(),
                is_required: required(key),
                what,
            });
        }
        items
    }

    fn example(&self, key: &str) -> Option<Node> {
        let (_, text) = self.examples.iter().find(|(of, _)| *of == key)?;
        parse::read(&Source::new("example", *text, Kind::File), Format::Json).0
    }
}

fn value(default: Option<&Node>, property: &Json, inner: &Json) -> Json {
    let value = match default {
        Some(default) => json(default),
        None => property
            .get("default")
            .or(inner.get("default"))
            .cloned()
            .unwrap_or(Json::Null),
    };
    match value {
        // The mask of a secret is no value.
        Json::String(text) if text == crate::secret::MASK => Json::String(String::new()),
        other => other,
    }
}

/// What looks like a variable would be filled in.
fn literal(text: &str) -> String {
    text.replace("$$", "$$$$").replace("${", "$${")
}

/// Whether a key can stand without quotes.
fn is_plain(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn quoted(key: &str) -> String {
    if is_plain(key) {
        key.to_owned()
    } else {
        Json::from(key).to_string()
    }
}

fn describe(description: &str, indent: &str, lines: &mut Vec<String>) {
    lines.extend(
        description
            .lines()
            .map(|line| format!("{indent}# {line}").trim_end().to_owned()),
    );
}

fn is_list_of_sections(example: &Node) -> bool {
    let elements = example.elements();
    !elements.is_empty() && elements.iter().all(|element| !element.entries().is_empty())
}
