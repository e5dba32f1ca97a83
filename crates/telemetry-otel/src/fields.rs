//! Collects the fields of events and spans as JSON values.
use serde_json::Value;
use std::{error::Error, fmt, fmt::Write as _};
use tracing::field::{Field, Visit};

/// Names and values in the order they were given; a name that comes again replaces its value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) message: String,
    pub(crate) values: Vec<(&'static str, Value)>,
}

/// Marks a text that holds JSON: `paths.json = "[…]"` becomes `paths` with that JSON inside.
const JSON_SUFFIX: &str = ".json";
/// Holds JSON by its name, as the documented log lines have it.
const METRICS: &str = "metrics";

impl Fields {
    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    /// The text of `name`, taken out.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        let at = self
            .values
            .iter()
            .position(|(known, value)| *known == name && value.is_string())?;
        match self.values.remove(at).1 {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        let name = field.name();
        if name == "message" {
            self.message = text;
            return;
        }
        let suffixed = name.strip_suffix(JSON_SUFFIX);
        if suffixed.is_some() || name == METRICS {
            let nested = serde_json::from_str(&text)
                .ok()
                .filter(|json: &Value| json.is_object() || json.is_array());
            if let Some(json) = nested {
                return self.set(suffixed.unwrap_or(name), json);
            }
        }
        self.set(name, Value::String(text));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows no infinity and no NaN; as text they are at least seen.
        let number = serde_json::Number::from_f64(value);
        self.set(
            field.name(),
            number.map_or_else(|| Value::String(value.to_string()), Value::Number),
        );
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            // Writing to a `String` cannot fail.
            write!(text, ": {cause}").ok();
            source = cause.source();
        }
        self.text(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}
