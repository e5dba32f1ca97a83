//! The example in YAML.

use super::{Item, What, describe, literal, quoted};
use crate::{loaded::json, tree::Node};

pub(super) fn lines(items: &[Item]) -> Vec<String> {
    let mut lines = Vec::new();
    section(items, 0, false, &mut lines);
    lines
}

fn section(items: &[Item], depth: usize, is_comment: bool, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    for (index, item) in items.iter().enumerate() {
        let key = quoted(&item.key);
        let mark = |is_comment: bool| if is_comment { "#" } else { "" };
        match &item.what {
            What::Section { items, is_absent } => {
                if index > 0 && depth == 0 {
                    lines.push(String::new());
                }
                let is_comment = is_comment || *is_absent;
                describe(&item.description, &indent, lines);
                lines.push(format!("{indent}{}{key}:", mark(is_comment)));
                section(items, depth + 1, is_comment, lines);
            }
            What::Value { default, example } => {
                describe(&item.description, &indent, lines);
                let mark = mark(is_comment || !item.is_required);
                // JSON is YAML.
                lines.push(format!("{indent}{mark}{key}: {}", literal(&default.to_string())));
                if let Some(example) = example {
                    lines.push(format!("{indent}# For example:"));
                    lines.extend(shown(&key, example).iter().map(|line| format!("{indent}# {line}")));
                }
            }
        }
    }
}

/// A list of sections with a line for each key; anything else in one line.
fn shown(key: &str, example: &Node) -> Vec<String> {
    if !super::is_list_of_sections(example) {
        return vec![format!("{key}: {}", literal(&json(example).to_string()))];
    }
    let mut lines = vec![format!("{key}:")];
    for element in example.elements() {
        for (index, entry) in element.entries().iter().enumerate() {
            let begin = if index == 0 { "- " } else { "  " };
            let value = literal(&json(&entry.node).to_string());
            lines.push(format!("  {begin}{}: {value}", quoted(&entry.key)));
        }
    }
    lines
}
