//! Writes one log line, as JSON or for people. Pure: a record in, text out.
use crate::{Format, fields::Fields};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;
use std::fmt::Write as _;
use tracing::Level;

/// Everything a line says.
pub(crate) struct Record<'a> {
    pub(crate) time: DateTime<Utc>,
    pub(crate) level: Level,
    pub(crate) component: &'a str,
    pub(crate) agent_id: Option<&'a str>,
    /// Those of the spans around the event, outermost first, then those of the event.
    pub(crate) fields: &'a Fields,
}

/// Keys of the line itself: a field of such a name is written as `field_NAME`, so that no key comes twice.
const TAKEN: [&str; 4] = ["timestamp", "level", "component", "message"];

impl Record<'_> {
    /// The line with its line break.
    pub(crate) fn render(&self, format: Format, color: bool) -> String {
        let mut line = match format {
            // All keys are text, so there is always a JSON form.
            Format::Json => serde_json::to_string(self).unwrap_or_default(),
            Format::Text => self.text(color),
        };
        line.push('\n');
        line
    }

    fn timestamp(&self) -> String {
        self.time.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    fn text(&self, color: bool) -> String {
        let paint = |text: &str, code: &str| {
            if color {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let level = paint(&format!("{:<5}", self.level.as_str()), code(self.level));
        let time = paint(&self.timestamp(), "2");
        let mut line = format!("{time} {level} {}: {}", self.component, printable(&self.fields.message));
        for (name, value) in &self.fields.values {
            // Writing to a `String` cannot fail.
            write!(line, " {}={}", paint(name, "2"), plain(value)).ok();
        }
        line
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.timestamp())?;
        map.serialize_entry("level", &self.level.as_str().to_ascii_lowercase())?;
        map.serialize_entry("component", self.component)?;
        map.serialize_entry("message", &self.fields.message)?;
        // A controller logs about agents: the agent that an event names is the one that matters.
        let named = self.fields.values.iter().any(|(name, _)| *name == "agent_id");
        if let Some(agent_id) = self.agent_id.filter(|_| !named) {
            map.serialize_entry("agent_id", agent_id)?;
        }
        for (name, value) in &self.fields.values {
            if TAKEN.contains(name) {
                map.serialize_entry(&format!("field_{name}"), value)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

fn code(level: Level) -> &'static str {
    match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        Level::DEBUG => "34",
        Level::TRACE => "35",
    }
}

/// A value for people: bare where that is clear, quoted where it would run into its neighbours.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let clear = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=');
            if !text.is_empty() && text.chars().all(clear) {
                text.clone()
            } else {
                format!("{text:?}")
            }
        }
        other => other.to_string(),
    }
}

/// File names and answers of servers end up in messages; their line breaks and terminal codes must not act.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(format: Format, color: bool, values: Vec<(&'static str, Value)>) -> String {
        let fields = Fields {
            message: "Scan\ncompleted".to_owned(),
            values,
        };
        let record = Record {
            time: "2026-11-21T03:50:33.9Z".parse().unwrap(),
            level: Level::INFO,
            component: "scanner",
            agent_id: Some("server-01-scanner"),
            fields: &fields,
        };
        record.render(format, color)
    }

    #[test]
    fn text_is_one_line_whatever_it_says() {
        let values = vec![
            ("files", json!(3)),
            ("path", json!("/a b\x1b[31m")),
            ("kind", json!("full")),
        ];
        assert_eq!(
            render(Format::Text, false, values),
            "2026-11-21T03:50:33Z INFO  scanner: Scan\\ncompleted files=3 path=\"/a b\\u{1b}[31m\" kind=full\n"
        );
        assert!(render(Format::Text, true, vec![]).contains("\x1b[32mINFO \x1b[0m"));
    }

    #[test]
    fn json_has_the_documented_keys_in_their_order() {
        let values = vec![("scan_session_id", json!("scan-123")), ("level", json!(9))];
        assert_eq!(
            render(Format::Json, false, values),
            concat!(
                r#"{"timestamp":"2026-11-21T03:50:33Z","level":"info","component":"scanner","message":"Scan\ncompleted","#,
                r#""agent_id":"server-01-scanner","scan_session_id":"scan-123","field_level":9}"#,
                "\n"
            )
        );
        assert_eq!(
            render(Format::Json, false, vec![("agent_id", json!("web-1"))])
                .matches("agent_id")
                .count(),
            1
        );
    }
}
