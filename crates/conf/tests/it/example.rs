//! The commented example and the schema.

use conf::{Format, Layers, annotated_example, schema};
use snapbox::{assert_data_eq, file};

use crate::model::{Config, load};

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
