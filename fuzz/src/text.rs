//! Configuration text of each format.
use conf::{Format, Node, Tree, Value, parse};
use serde_json::Value as Json;

/// How many values YAML's aliases may add to those that stand in a text.
const ALIASED: usize = 10_000;

/// TOML text.
///
/// # Panics
/// When a tree or a problem does not lie inside the text.
pub fn conf_toml(data: &[u8]) {
    read(data, Format::Toml);
}

/// YAML text.
///
/// # Panics
/// When a tree or a problem does not lie inside the text.
pub fn conf_yaml(data: &[u8]) {
    read(data, Format::Yaml);
}

/// JSON text, with comments. `serde_json` is the second opinion.
///
/// # Panics
/// When a tree or a problem does not lie inside the text, or differs from what `serde_json` reads.
pub fn conf_json(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let tree = read(data, Format::Json);
    let Ok(second) = serde_json::from_str::<Json>(text) else {
        return;
    };
    // A key given twice and a depth beyond reason are refused on purpose; else what is JSON is read, and alike.
    if let Some(tree) = tree {
        assert!(is_same(tree.root(), &second), "{:?} is not {second}", tree.root());
    }
}

/// The text, where the bytes are one: whoever reads files has refused others before.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn read(data: &[u8], format: Format) -> Option<Tree> {
    let text = text(data)?;
    match parse("fuzzed", text, format) {
        Ok(tree) => {
            let mut nodes = 0;
            walk(tree.root(), text, 0, &mut nodes);
            let most = text.len() + 1 + ALIASED;
            assert!(nodes <= most, "{nodes} values out of {} bytes", text.len());
            Some(tree)
        }
        Err(problems) => {
            assert!(problems.count() > 0);
            // Whatever stands in the text: a terminal must not obey it.
            let shown = problems.render(false);
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
            let most = text.split('\n').count();
            for place in problems.iter().filter_map(conf::Problem::place) {
                assert!(place.line >= 1 && place.line <= most, "line {} of {most}", place.line);
            }
            None
        }
    }
}

fn walk(node: &Node, text: &str, depth: usize, nodes: &mut usize) {
    *nodes += 1;
    assert!(depth <= 101, "deeper than any text may be");
    assert!(node.place().line <= text.split('\n').count());
    for (number, entry) in node.entries().iter().enumerate() {
        let first = node.entries().iter().position(|other| other.key() == entry.key());
        assert_eq!(first, Some(number), "`{}` is there twice", entry.key());
        walk(entry.node(), text, depth + 1, nodes);
    }
    for element in node.elements() {
        walk(element, text, depth + 1, nodes);
    }
}

fn is_same(node: &Node, json: &Json) -> bool {
    match (node.value(), json) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(one), Json::Bool(other)) => one == other,
        (Value::Str(one), Json::String(other)) => one == other,
        (Value::Int(one), Json::Number(other)) => {
            other.as_i128() == Some(*one) || other.as_f64().is_some_and(|other| is_near(*one as f64, other))
        }
        (Value::Float(one), Json::Number(other)) => other.as_f64().is_some_and(|other| is_near(*one, other)),
        (Value::Seq(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Map(one), Json::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|entry| other.get(entry.key()).is_some_and(|value| is_same(entry.node(), value)))
        }
        _ => false,
    }
}

/// The two may round the last bits of a long number otherwise.
fn is_near(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= other.abs() * 4.0 * f64::EPSILON
}
