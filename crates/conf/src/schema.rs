//! JSON Schema of settings, and what can be learnt from it: which keys there are.

use schemars::JsonSchema;
use serde_json::Value;

use crate::path::KeyPath;

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
