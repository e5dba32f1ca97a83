//! The example in TOML.

use serde_json::Value as Json;

use super::{Item, What, describe, literal, quoted};
use crate::{loaded::json, tree::Node};

pub(super) fn lines(items: &[Item]) -> Vec<String> {
    let mut lines = Vec::new();
    section(items, "", false, &mut lines);
    lines
}

/// Below a header stand the keys of its section only, so sections come last, and examples that are headers before them.
fn order(item: &Item) -> usize {
    match &item.what {
        What::Value { example, .. } => usize::from(example.as_ref().is_some_and(super::is_list_of_sections)),
        What::Section { .. } => 2,
    }
}

fn section(items: &[Item], path: &str, is_comment: bool, lines: &mut Vec<String>) {
    let mut sorted: Vec<&Item> = items.iter().collect();
    sorted.sort_by_key(|item| order(item));
    for item in sorted {
        let key = quoted(&item.key);
        let mark = |is_comment: bool| if is_comment { "#" } else { "" };
        let below = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match &item.what {
            What::Section { items, is_absent } => {
                if !lines.is_empty() {
                    lines.push(String::new());
                }
                let is_comment = is_comment || *is_absent;
                describe(&item.description, "", lines);
                lines.push(format!("{}[{below}]", mark(is_comment)));
                section(items, &below, is_comment, lines);
            }
            What::Value { default, example } => {
                describe(&item.description, "", lines);
                let mark = mark(is_comment || !item.is_required);
                let value = match default {
                    Json::Null if item.is_required => "\"\"".to_owned(),
                    Json::Null => String::new(),
                    value => literal(&written(value)),
                };
                lines.push(format!("{mark}{key} = {value}").trim_end().to_owned());
                if let Some(example) = example {
                    lines.push("# For example:".to_owned());
                    lines.extend(shown(&key, &below, example).iter().map(|line| format!("# {line}")));
                }
            }
        }
    }
}

/// A list of sections with a line for each key; anything else in one line.
fn shown(key: &str, path: &str, example: &Node) -> Vec<String> {
    let line = |key: &str, value: &Node| format!("{key} = {}", literal(&written(&json(value))));
    if !super::is_list_of_sections(example) {
        return vec![line(key, example)];
    }
    let mut lines = Vec::new();
    for element in example.elements() {
        lines.push(format!("[[{path}]]"));
        let entries = element.entries().iter();
        lines.extend(entries.map(|entry| line(&quoted(&entry.key), &entry.node)));
    }
    lines
}

/// A value in one line. What is `null` in a section is left out.
fn written(value: &Json) -> String {
    match value {
        Json::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members: Vec<String> = members
                .map(|(key, value)| format!("{} = {}", quoted(key), written(value)))
                .collect();
            match members.is_empty() {
                true => "{}".to_owned(),
                false => format!("{{ {} }}", members.join(", ")),
            }
        }
        Json::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(written).collect();
            format!("[{}]", elements.join(", "))
        }
        // The escapes of JSON are those of TOML.
        scalar => scalar.to_string(),
    }
}
