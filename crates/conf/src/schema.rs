//! JSON Schema of settings, and what can be learnt from it: which keys there are.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde_json::Value;

use crate::path::{KeyPath, Segment};

/// The JSON Schema of settings, so that editors complete and check them.
///
/// As [`Layers::load`](crate::Layers::load) does, it refuses keys that a section does not know.
///
/// ```
/// #[derive(schemars::JsonSchema)]
/// struct Agent {
///     /// Name of this agent.
///     id: String,
/// }
///
/// let schema = conf::schema::<Agent>();
/// assert_eq!(schema["properties"]["id"]["description"], "Name of this agent.");
/// assert_eq!(schema["additionalProperties"], false);
/// ```
pub fn schema<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    close(&mut schema);
    schema
}

/// Forbids unknown keys wherever the known ones are all in one place.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            let joined = ["$ref", "allOf", "anyOf", "oneOf"]
                .iter()
                .any(|key| object.contains_key(*key));
            if object.get("properties").is_some_and(Value::is_object) && object.contains_key("type") && !joined {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(close),
        _ => {}
    }
}

/// The keys of settings, read off their schema.
pub(crate) struct Keys {
    root: Value,
}

/// What stands at a path.
pub(crate) enum Found<'a> {
    Schema(&'a Value),
    /// Below a map whose keys are the user's.
    Free,
}

impl Keys {
    pub(crate) fn of<T: JsonSchema>() -> Self {
        Self {
            root: schemars::schema_for!(T).to_value(),
        }
    }

    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    /// A schema with its reference followed, and that of an optional section too.
    pub(crate) fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        // References of references are few; a bound keeps a circle from being followed for ever.
        for _ in 0..16 {
            let reference = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|text| text.strip_prefix('#'));
            let optional = || {
                let choices = schema.get("anyOf")?.as_array()?;
                let mut choices = choices
                    .iter()
                    .filter(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
                choices.next().filter(|_| choices.next().is_none())
            };
            let next = reference
                .and_then(|pointer| self.root.pointer(pointer))
                .or_else(optional);
            match next {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// The keys of a section, its choices included.
    pub(crate) fn properties<'a>(&'a self, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
        let schema = self.resolve(schema);
        let own = schema.get("properties").and_then(Value::as_object);
        let mut found: Vec<_> = own
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        for part in ["oneOf", "anyOf", "allOf"] {
            for choice in schema.get(part).and_then(Value::as_array).into_iter().flatten() {
                found.extend(
                    choice
                        .get("properties")
                        .and_then(Value::as_object)
                        .into_iter()
                        .flatten()
                        .map(|(k, v)| (k.as_str(), v)),
                );
            }
        }
        found
    }

    fn is_free(&self, schema: &Value) -> bool {
        let additional = self.resolve(schema).get("additionalProperties");
        additional.is_some_and(|additional| additional.is_object() || additional == &Value::Bool(true))
    }

    /// The schema of one key of a section, by the key's exact name or by its name as a variable writes it.
    pub(crate) fn child<'a>(&'a self, schema: &'a Value, name: &str) -> Option<(String, Found<'a>)> {
        let wanted = crate::nearest::plain(name);
        let mut properties = self.properties(schema).into_iter();
        if let Some((key, value)) = properties.find(|(key, _)| crate::nearest::plain(key) == wanted) {
            return Some((key.to_owned(), Found::Schema(value)));
        }
        self.is_free(schema).then_some((wanted, Found::Free))
    }

    /// The schema of what lies one step below.
    pub(crate) fn below<'a>(&'a self, schema: &'a Value, segment: &Segment) -> Option<&'a Value> {
        let name = match segment {
            Segment::Key(name) => crate::nearest::plain(name),
            Segment::Index(_) => return self.resolve(schema).get("items"),
        };
        let mut properties = self.properties(schema).into_iter();
        let known = properties.find(|(key, _)| crate::nearest::plain(key) == name);
        let free = || self.resolve(schema).get("additionalProperties");
        known.map(|(_, value)| value).or_else(free)
    }

    /// Whether it is a section or a map.
    pub(crate) fn is_table(&self, schema: &Value) -> bool {
        !self.properties(schema).is_empty() || self.is_free(schema)
    }

    /// Whether what stands at `path` is, holds or may have been meant for a secret, by its type.
    ///
    /// An unknown key is meant for one where a neighbour is one; an unknown section, where any is below.
    pub(crate) fn is_around_secret(&self, path: &KeyPath) -> bool {
        let mut at = &self.root;
        for (done, segment) in path.0.iter().enumerate() {
            match self.below(at, segment) {
                Some(next) => at = next,
                None if done + 1 == path.0.len() && self.is_table(at) => {
                    let keys = self.properties(at);
                    return keys.iter().any(|(_, key)| self.is_for_secrets(key));
                }
                None => return self.holds_secret(at),
            }
        }
        self.holds_secret(at)
    }

    /// Whether it is a secret, or a list or map of them: no section that holds one among others.
    fn is_for_secrets(&self, schema: &Value) -> bool {
        let mut at = schema;
        for _ in 0..4 {
            let inner = self.resolve(at);
            match inner.get("items").or(inner.get("additionalProperties")) {
                Some(next) => at = next,
                None => break,
            }
        }
        self.resolve(at).get("properties").is_none() && self.holds_secret(at)
    }

    /// Whether a key of this name may stand somewhere, and nowhere is or holds a secret.
    pub(crate) fn is_harmless(&self, name: &str) -> bool {
        let mut found = Vec::new();
        named(&self.root, name, &mut found);
        !found.is_empty() && !found.into_iter().any(|schema| self.holds_secret(schema))
    }

    /// Whether a secret is in it: a type whose schema bears the name `Secret`.
    pub(crate) fn holds_secret(&self, schema: &Value) -> bool {
        self.search(schema, &mut HashSet::new())
    }

    fn search<'a>(&'a self, schema: &'a Value, seen: &mut HashSet<&'a str>) -> bool {
        match schema {
            Value::Object(object) => object.iter().any(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(name)) => {
                    let target = name.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
                    name.ends_with("/Secret")
                        || seen.insert(name) && target.is_some_and(|target| self.search(target, seen))
                }
                // What is merely kept there, and values.
                ("$defs" | "default" | "examples", _) => false,
                _ => self.search(value, seen),
            }),
            Value::Array(elements) => elements.iter().any(|element| self.search(element, seen)),
            _ => false,
        }
    }

    /// The path of every key that is no section, sections of optional parts included.
    pub(crate) fn leaves(&self) -> Vec<KeyPath> {
        let mut leaves = Vec::new();
        self.collect(&self.root, &mut Vec::new(), &mut leaves);
        leaves
    }

    fn collect<'a>(&'a self, schema: &'a Value, path: &mut Vec<&'a str>, leaves: &mut Vec<KeyPath>) {
        let properties = self.properties(schema);
        if (properties.is_empty() || path.len() > 8) && !path.is_empty() {
            leaves.push(KeyPath::of_keys(path.iter().copied()));
            return;
        }
        for (key, value) in properties {
            path.push(key);
            self.collect(value, path, leaves);
            path.pop();
        }
    }
}

/// The schemas of all keys of this name.
fn named<'a>(schema: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match schema {
        Value::Object(object) => {
            found.extend(object.get("properties").and_then(|properties| properties.get(name)));
            object.values().for_each(|value| named(value, name, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| named(element, name, found)),
        _ => {}
    }
}
