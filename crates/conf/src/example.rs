//! A commented example of settings, made of their schema and their defaults.

use serde_json::Value as Json;

use crate::{
    loaded::{json, serialized},
    schema::Keys,
    settings::Settings,
    tree::Node,
};

/// A commented example in YAML: every key with its description, and its default commented out.
///
/// Descriptions are `# text`, keys that may be left out `#key: default`. Keys that must be given stand uncommented
/// with an empty value. It loads as it stands if no key must be given, and to the same values once the keys that
/// have a default are uncommented.
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
    let keys = Keys::of::<T>();
    let defaults = serialized(&T::default());
    let mut lines = Vec::new();
    section(
        &keys,
        keys.root(),
        defaults.as_ref(),
        &mut Writer {
            lines: &mut lines,
            indent: 0,
            is_comment: false,
        },
    );
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

struct Writer<'a> {
    lines: &'a mut Vec<String>,
    indent: usize,
    /// Inside a section that is commented out as a whole.
    is_comment: bool,
}

impl Writer<'_> {
    fn describe(&mut self, description: &str) {
        let indent = " ".repeat(self.indent);
        for line in description.lines() {
            self.lines.push(format!("{indent}# {line}").trim_end().to_owned());
        }
    }

    fn key(&mut self, key: &str, value: &str, is_comment: bool) {
        let mark = if is_comment || self.is_comment { "#" } else { "" };
        let key = if plain(key) {
            key.to_owned()
        } else {
            Json::from(key).to_string()
        };
        self.lines.push(format!(
            "{}{mark}{key}:{}{value}",
            " ".repeat(self.indent),
            if value.is_empty() { "" } else { " " }
        ));
    }
}

/// Whether a key can stand in YAML without quotes.
fn plain(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn section(keys: &Keys, schema: &Json, defaults: Option<&Node>, writer: &mut Writer<'_>) {
    let schema = keys.resolve(schema);
    let properties = keys.properties(schema);
    // In the order of the types where it is known, and in that of the schema otherwise.
    let order = defaults.map(Node::entries).unwrap_or_default();
    let position = |key: &str| order.iter().position(|entry| entry.key == key).unwrap_or(usize::MAX);
    let mut sorted = properties;
    sorted.sort_by_key(|(key, _)| position(key));
    let required = |key: &str| {
        let list = schema.get("required").and_then(Json::as_array);
        list.is_some_and(|list| list.iter().any(|name| name == key))
    };
    for (index, (key, property)) in sorted.iter().enumerate() {
        let default = defaults.and_then(|defaults| defaults.get(key));
        let inner = keys.resolve(property);
        let is_section = inner.get("properties").is_some() && writer.indent < 32;
        if index > 0 && (is_section && writer.indent == 0) {
            writer.lines.push(String::new());
        }
        let description = [property, &inner]
            .iter()
            .find_map(|schema| schema.get("description")?.as_str().map(str::to_owned));
        writer.describe(&description.unwrap_or_default());
        if is_section {
            let is_absent = default.is_none_or(|default| default.entries().is_empty());
            writer.key(key, "", is_absent);
            let indent = writer.indent + 2;
            let is_comment = writer.is_comment || is_absent;
            section(
                keys,
                inner,
                default,
                &mut Writer {
                    lines: writer.lines,
                    indent,
                    is_comment,
                },
            );
        } else {
            let value = value(default, property, inner);
            writer.key(key, &value, !required(key));
        }
    }
}

/// The default as a flow value: JSON is YAML.
fn value(default: Option<&Node>, property: &Json, inner: &Json) -> String {
    let json = match default {
        Some(default) => json(default),
        None => property
            .get("default")
            .or(inner.get("default"))
            .cloned()
            .unwrap_or(Json::Null),
    };
    let text = match json {
        // The mask of a secret is no value.
        Json::String(text) if text == crate::secret::MASK => "\"\"".to_owned(),
        other => other.to_string(),
    };
    // What looks like a variable would be filled in.
    text.replace("$$", "$$$$").replace("${", "$${")
}
