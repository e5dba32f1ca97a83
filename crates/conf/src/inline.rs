//! Sections, maps and lists of them in one variable or option: JSON, or a value of TOML.

use serde_json::Value as Schema;

use crate::{
    format::Format,
    parse,
    path::Segment,
    schema::Keys,
    source::{Kind, Source, Span},
    tree::{Node, Value},
};

/// A layer of one path, with what stands for a section, a map or a list of sections taken apart. What cannot be read so
/// stays: its reader says what it wants.
pub(crate) fn expanded(mut node: Node, keys: &Keys) -> Node {
    expand(&mut node, keys.root(), keys);
    node
}

fn expand(node: &mut Node, schema: &Schema, keys: &Keys) {
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                if let Some(below) = keys.below(schema, &Segment::Key(entry.key.clone())) {
                    expand(&mut entry.node, below, keys);
                }
            }
        }
        Value::Plain(text) => {
            let of_list = keys.below(schema, &Segment::Index(0));
            let is_list = of_list.is_some_and(|element| keys.is_table(element));
            let begins = text.trim_start().chars().next();
            let fits = begins == Some('{') && keys.is_table(schema) || begins == Some('[') && is_list;
            if let Some(value) = fits.then(|| read(text)).flatten() {
                node.value = placed(value, &node.at);
            }
        }
        _ => {}
    }
}

fn read(text: &str) -> Option<Value> {
    let parsed = |text: &str, format| {
        let source = Source::new("value", text, Kind::File);
        let (node, problems) = parse::read(&source, format);
        node.filter(|_| problems.is_empty())
    };
    let toml = || match parsed(&format!("value = {text}"), Format::Toml)?.value {
        Value::Map(mut entries) if entries.len() == 1 => entries.pop().map(|entry| entry.node.value),
        _ => None,
    };
    parsed(text, Format::Json).map(|node| node.value).or_else(toml)
}

/// The place of all of it is the variable or option.
fn placed(mut value: Value, at: &Span) -> Value {
    let place = |node: &mut Node| {
        let inner = std::mem::replace(&mut node.value, Value::Null);
        *node = Node::new(at.clone(), placed(inner, at));
    };
    match &mut value {
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.at = at.clone();
            place(&mut entry.node);
        }),
        Value::Seq(elements) => elements.iter_mut().for_each(place),
        _ => {}
    }
    value
}
