//! The commented example and the schema.

use conf::{Format, Layers, annotated_example, annotated_example_toml, schema};
use snapbox::{assert_data_eq, file};

use crate::model::{Config, load};

#[test]
fn the_example_is_written_in_toml_too() {
    let example = annotated_example_toml::<Config>();
    assert_eq!(load(&example, Format::Toml).unwrap(), Config::default());
    let uncommented: String = example
        .lines()
        .filter(|line| !line.ends_with('='))
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(load(&uncommented, Format::Toml).unwrap(), Config::default());
    assert_data_eq!(example, file!["../snapshots/example.toml"].raw());
}

#[test]
fn what_an_example_shows_besides_is_read_as_it_stands() {
    for (example, format) in [
        (annotated_example::<Config>(), Format::Yaml),
        (annotated_example_toml::<Config>(), Format::Toml),
    ] {
        let (_, after) = example.split_once("# For example:\n").unwrap();
        let (_, after) = after.split_once("# For example:\n").unwrap();
        let lines = after.lines().map_while(|line| line.trim_start().strip_prefix("# "));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let tree = conf::parse("example", text.clone(), format).unwrap();
        let list = if format == Format::Toml {
            "scanner.custom_mime_types"
        } else {
            "custom_mime_types"
        };
        let at = |path: &str| {
            tree.get(&format!("{list}{path}"))
                .unwrap_or_else(|| panic!("{path}: {text}"))
        };
        assert_eq!(at("[0].z").text(), Some("x y"));
        assert_eq!(at("[0].a[1].\"b.c\"").text(), Some("\""));
        assert_eq!(at("[1].z").text(), Some("2"));
    }
}

#[test]
fn the_example_loads_as_it_stands_and_uncommented() {
    let example = annotated_example::<Config>();
    assert_eq!(load(&example, Format::Yaml).unwrap(), Config::default());
    let uncommented: String = example
        .lines()
        .map(|line| match line.trim_start().strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{}\n", line.replacen('#', "", 1)),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(load(&uncommented, Format::Yaml).unwrap(), Config::default());
    assert_data_eq!(example, file!["../snapshots/example.yaml"].raw());
}

#[test]
fn the_example_says_each_key_once() {
    let loaded = Layers::new().load::<Config>().unwrap();
    let example = annotated_example::<Config>();
    for effective in loaded.effective() {
        let leaf = effective.key.rsplit('.').next().unwrap();
        assert_eq!(example.matches(&format!("#{leaf}:")).count(), 1, "{leaf}");
    }
}

#[test]
fn the_schema_names_every_section_and_refuses_unknown_keys() {
    let schema = schema::<Config>();
    for section in ["server", "scanner", "logging", "health"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    assert_eq!(schema["$defs"]["Server"]["additionalProperties"], false);
    assert_eq!(
        schema["$defs"]["Server"]["properties"]["timeout"]["description"],
        "How long a request may take."
    );
}
