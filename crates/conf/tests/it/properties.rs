//! Whatever the text: no panic, and places inside it. Whatever the value: it comes back as it was.

use conf::{Format, Node, Problems, Value, from_tree, parse};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::model::load;

const FORMATS: [Format; 3] = [Format::Toml, Format::Yaml, Format::Json];

/// Text that looks like settings often enough to reach deep into a parser.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("scanner"),
        Just("batch_size"),
        Just("server"),
        Just("api_key"),
        Just("scan_paths"),
        Just(":"),
        Just(" "),
        Just("  "),
        Just("\n"),
        Just("\n  "),
        Just("\r\n"),
        Just("- "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("="),
        Just("\""),
        Just("'"),
        Just("\"\"\""),
        Just(","),
        Just("&a "),
        Just("*a"),
        Just("!!str "),
        Just("<<"),
        Just("|"),
        Just(">"),
        Just("# "),
        Just("//"),
        Just("/*"),
        Just("---\n"),
        Just("${"),
        Just("${HOSTNAME}"),
        Just("\t"),
        Just("12"),
        Just("-1"),
        Just("0x1f"),
        Just("1e400"),
        Just("true"),
        Just("null"),
        Just("ä"),
        Just("😀"),
        Just("\u{feff}"),
        Just("\u{0}"),
        Just("?"),
        Just("%YAML 1.2\n"),
        Just("1979-05-27"),
        Just("\\"),
        Just("."),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        any::<String>(),
        "[ -~\\n]{0,80}",
    ]
}

fn check_places(problems: &Problems, text: &str) {
    let lines = text.lines().count().max(1) + 1;
    for problem in problems {
        if let Some(place) = problem.place() {
            assert!(
                (1..=lines).contains(&place.line) && place.column >= 1,
                "{place} in {text:?}"
            );
        }
    }
    assert!(!problems.render(false).is_empty());
}

/// A tree as JSON, by the reading that an untyped reader takes.
fn json(node: &Node) -> Json {
    match node.value() {
        Value::Map(_) => Json::Object(
            node.entries()
                .iter()
                .map(|entry| (entry.key().to_owned(), json(entry.node())))
                .collect(),
        ),
        Value::Seq(elements) => Json::Array(elements.iter().map(json).collect()),
        _ => serde_json::Value::Null,
    }
}

fn leaf() -> impl Strategy<Value = Json> {
    prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e9..1e9_f64).prop_map(|number| Json::from(number + 0.5)),
        any::<String>().prop_map(Json::from),
        "[a-z0-9.:#-]{0,6}".prop_map(Json::from),
    ]
}

fn tree() -> impl Strategy<Value = Json> {
    let inner = leaf().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            prop::collection::btree_map(key(), inner, 0..5).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(key(), inner, 0..5).prop_map(|map| Json::Object(map.into_iter().collect()))
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,8}", any::<String>()]
}

/// YAML in block style, its scalars in double quotes unless they are numbers or booleans.
fn yaml(value: &Json, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("\n{pad}{}:", Json::from(key.as_str())));
                yaml(value, indent + 2, out);
            }
        }
        Json::Array(elements) if !elements.is_empty() => {
            for element in elements {
                out.push_str(&format!("\n{pad}-"));
                yaml(element, indent + 2, out);
            }
        }
        other => out.push_str(&format!(" {other}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in text()) {
        for format in FORMATS {
            match parse("any", text.clone(), format) {
                Ok(tree) => drop(json(tree.root())),
                Err(problems) => check_places(&problems, &text),
            }
            if let Err(problems) = load(&text, format) {
                check_places(&problems, &text);
            }
        }
    }

    #[test]
    fn values_come_back_as_they_were(value in tree()) {
        let mut block = String::new();
        yaml(&value, 0, &mut block);
        let texts = [
            (Format::Json, serde_json::to_string_pretty(&value).unwrap()),
            (Format::Toml, toml::to_string(&value).unwrap()),
            (Format::Yaml, block),
        ];
        for (format, text) in texts {
            // YAML has no way to write some control characters, and its parser counts others as ends of lines.
            let odd = |c: char| c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}'..='\u{ffff}');
            if format == Format::Yaml && text.chars().any(|c| c != '\n' && odd(c)) {
                continue;
            }
            let tree = parse("any", text.clone(), format).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
            prop_assert_eq!(from_tree::<Json>(&tree).unwrap(), value.clone(), "{:?}\n{}", format, text);
        }
    }
}
