//! Precedence, origins, and what each layer may do.

use conf::{Format, Layers, Origin, Problems};
use snapbox::{assert_data_eq, str};

use crate::model::{Config, ENVIRONMENT, Root, load, lookup, vars};

const FILE: &str = "server: {api_key: '${SCANNER_API_KEY:-none}'}\nscanner: {batch_size: 100, worker_count: 2}\n";

fn messages(problems: &Problems) -> Vec<String> {
    problems
        .iter()
        .map(|problem| format!("{}: {}", problem.key().unwrap_or("-"), problem.message()))
        .collect()
}

fn environment(vars_: &[(&str, &str)]) -> Result<Config, Problems> {
    Layers::new()
        .environment(ENVIRONMENT, vars(vars_))
        .load::<Config>()
        .map(|loaded| loaded.value)
}

#[test]
fn each_layer_wins_over_those_below_and_tells_its_origin() {
    let loaded = Layers::new()
        .option("--log-level", "logging.level", "error")
        .environment(
            ENVIRONMENT,
            vars(&[("SCANNER_LOG_LEVEL", "warn"), ("SCANNER__SCANNER__WORKER_COUNT", "9")]),
        )
        .controller(
            "controller",
            "logging: {level: debug}\nscanner: {batch_size: 300, worker_count: 3}",
            Format::Yaml,
        )
        .file("a.yaml", FILE, Format::Yaml)
        .file("b.toml", "[health]\nport = 81", Format::Toml)
        .interpolate(lookup)
        .load::<Config>()
        .unwrap();
    let shown: Vec<_> = loaded
        .effective()
        .into_iter()
        .filter(|effective| effective.origin != Origin::Default)
        .map(|effective| format!("{} = {}  ({})\n", effective.key, effective.value, effective.origin))
        .collect();
    assert_data_eq!(
        shown.concat(),
        str![[r#"
server.api_key = none  (a.yaml:1:19)
scanner.batch_size = 300  (controller controller:2:23)
scanner.worker_count = 9  (environment SCANNER__SCANNER__WORKER_COUNT)
logging.level = error  (option --log-level)
health.port = 81  (b.toml:2:8)

"#]]
    );
    assert_eq!(loaded.origin("server.timeout"), Origin::Default);
    assert_eq!(loaded.effective().len(), 18, "{:?}", loaded.effective());
}

#[test]
fn an_empty_section_takes_nothing_away() {
    let loaded = Layers::new()
        .file("a.yaml", "scanner: {batch_size: 300}", Format::Yaml)
        .controller("controller", "scanner:\nlogging:\n", Format::Yaml)
        .load::<Config>()
        .unwrap();
    assert_eq!(loaded.value.scanner.batch_size, 300);
}

#[test]
fn a_controller_cannot_set_what_is_forbidden() {
    let text = "server:\n  base_url: https://evil\n  timeout: 5s\nhealth: {port: 1}\n";
    let layers = || Layers::new().controller_forbidden(&["server.base_url", "server.api_key", "health"]);
    let problems = layers()
        .controller("controller", text, Format::Yaml)
        .load::<Config>()
        .unwrap_err();
    assert_eq!(
        messages(&problems),
        [
            "server.base_url: the controller must not set this key",
            "health: the controller must not set this key"
        ]
    );
    assert_eq!(
        problems.iter().next().unwrap().place().unwrap().to_string(),
        "controller:2:3"
    );
    assert!(layers().file("a.yaml", text, Format::Yaml).load::<Config>().is_ok());
}

#[test]
fn a_controller_cannot_read_variables() {
    let layers = |text| {
        Layers::new()
            .controller("controller", text, Format::Yaml)
            .interpolate(lookup)
            .load::<Config>()
    };
    let problems = layers("logging: {file: '${HOSTNAME}'}").unwrap_err();
    assert_eq!(
        messages(&problems),
        ["logging.file: what the controller sends must not use `${…}`"]
    );
    assert_eq!(
        layers("logging: {file: 'a$$b'}").unwrap().value.logging.file.as_deref(),
        Some("a$b")
    );
}

#[test]
fn variables_name_keys_in_any_case_and_fill_lists_and_maps() {
    let config = environment(&[
        ("SCANNER__SCANNER__IGNORE_PATTERNS", "*.a, *.b,"),
        ("scanner__scanner__scan-paths", "/x"),
        ("SCANNER__SCANNER__CUSTOM_MIME_TYPES__XYZ", "a/b"),
        ("SCANNER__SCANNER__MAX_FILE_SIZE", "5MB"),
        ("SCANNER__HEALTH__ENABLED", "TRUE"),
        ("SCANNER__LOGGING__MAX_BACKUPS", "7"),
        ("SCANNER__LOGGING__FILE", "007"),
        ("SCANNER_CONFIG", "/etc/x"),
        ("SCANNER_SERVICE_HOST", "10.0.0.1"),
        ("SCANNER_PORT", "tcp://10.0.0.1:80"),
        ("SCANNER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("SCANNERS", "3"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(config.scanner.ignore_patterns, ["*.a", "*.b"]);
    assert_eq!(
        config.scanner.scan_paths,
        [Root {
            path: "/x".to_owned(),
            depth: 0
        }]
    );
    assert_eq!(config.scanner.custom_mime_types["xyz"], "a/b");
    assert_eq!(config.scanner.max_file_size.0, 5 << 20);
    assert!(config.health.enabled);
    assert_eq!(
        (config.logging.max_backups, config.logging.file.as_deref()),
        (Some(7), Some("007"))
    );
}

#[test]
fn a_list_in_a_variable_is_written_with_commas_or_as_in_a_file() {
    let patterns = |text: &str| {
        let config = environment(&[("SCANNER__SCANNER__IGNORE_PATTERNS", text)]).unwrap();
        config.scanner.ignore_patterns
    };
    assert_eq!(patterns(r#"["*.a", 'b,c' ,"d"]"#), ["*.a", "b,c", "d"]);
    assert_eq!(patterns(" [ ] "), Vec::<String>::new());
    // What may be a pattern stays one.
    assert_eq!(patterns("[ab],*.c"), ["[ab]", "*.c"]);
    assert_eq!(patterns("[ab]"), ["[ab]"]);
}

#[test]
fn variables_that_name_no_key_are_problems() {
    let problems = environment(&[
        ("SCANNER__SCANNER__BATCH_SISE", "5"),
        ("SCANNER_SCANNER_BATCH_SIZE", "5"),
        ("SCANNER_LOGLEVEL", "info"),
        ("SCANNER_COLOUR", "red"),
        ("SCANNER__SERVER", "x"),
        ("SCANNER__HEALTH__PORT", "70000"),
        ("SCANNER__HEALTH__PORT__X", "1"),
        ("SCANNER__SCANNER__worker_count", "1"),
        ("SCANNER__SCANNER__WORKER_COUNT", "2"),
    ])
    .unwrap_err();
    assert_data_eq!(
        problems.to_string(),
        snapbox::file!["../snapshots/environment.txt"].raw()
    );
}

#[test]
fn the_long_name_wins_over_the_short() {
    let config = environment(&[("SCANNER__LOGGING__LEVEL", "error"), ("SCANNER_LOG_LEVEL", "debug")]).unwrap();
    assert_eq!(config.logging.level, crate::model::Level::Error);
}

#[test]
fn keys_without_meaning_are_warned_of() {
    let text = "performance:\n  gc_percent: 100\ndatabase: {wal_mode: true}\nhealth: {port: 3}\n";
    let loaded = Layers::new()
        .file("old.yaml", text, Format::Yaml)
        .meaningless("performance", "memory needs no tuning")
        .meaningless("database", "the journal mode is fixed")
        .load::<Config>()
        .unwrap();
    assert_eq!(loaded.value.health.port, 3);
    let shown: String = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_data_eq!(
        shown,
        str![[r#"
warning: performance: this key has no meaning here and is ignored: memory needs no tuning
 --> old.yaml:1:1
  |
1 | performance:
  | ^^^^^^^^^^^
warning: database: this key has no meaning here and is ignored: the journal mode is fixed
 --> old.yaml:3:1
  |
3 | database: {wal_mode: true}
  | ^^^^^^^^

"#]]
    );
}

#[test]
fn what_a_variable_puts_in_is_never_structure() {
    let config = load("logging:\n  file: ${EVIL}\n", Format::Yaml).unwrap();
    assert_eq!(config.logging.file.as_deref(), Some("x\nscanner: {batch_size: 1}"));
    assert_eq!(config.scanner.batch_size, 100);
    let problems = load("scanner:\n  ignore_patterns: ${EVIL}\n", Format::Yaml).unwrap_err();
    assert_eq!(problems.count(), 1, "{problems}");
}

#[test]
fn a_variable_takes_the_type_that_its_reader_wants() {
    for (text, format) in [
        (
            "scanner: {batch_size: '${BATCH}'}\nlogging: {file: '${BATCH}'}",
            Format::Yaml,
        ),
        (
            "scanner.batch_size = '${BATCH}'\nlogging.file = \"${BATCH}\"",
            Format::Toml,
        ),
        (
            "{\"scanner\": {\"batch_size\": \"${BATCH}\"}, \"logging\": {\"file\": \"${BATCH}\"}}",
            Format::Json,
        ),
    ] {
        let config = load(text, format).unwrap();
        assert_eq!(
            (config.scanner.batch_size, config.logging.file.as_deref()),
            (250, Some("250"))
        );
    }
}

#[test]
fn an_overridden_value_needs_no_variable() {
    let loaded = Layers::new()
        .file("a.yaml", "server: {api_key: '${SCANNER_API_KEY}'}", Format::Yaml)
        .environment(ENVIRONMENT, vars(&[("SCANNER_API_KEY", "abc$${d}")]))
        .interpolate(|_| None)
        .load::<Config>()
        .unwrap();
    assert_eq!(loaded.value.server.api_key, "abc$${d}");
}

#[test]
fn a_map_or_a_list_of_sections_is_given_by_one_variable_or_option() {
    #[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    #[serde(default)]
    struct Rules {
        rules: Vec<Rule>,
        headers: std::collections::BTreeMap<String, String>,
        patterns: Vec<String>,
    }
    #[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    #[serde(default)]
    struct Rule {
        name: String,
        paths: Vec<String>,
        priority: u8,
    }
    impl conf::Settings for Rules {}
    let rule = |name: &str, priority| Rule {
        name: name.to_owned(),
        paths: vec!["/a".to_owned(), "/b, c".to_owned()],
        priority,
    };
    for (text, expected) in [
        (
            r#"[{"name": "x", "paths": ["/a", "/b, c"]}, {"name": "y", "paths": ["/a", "/b, c"], "priority": 7}]"#,
            vec![rule("x", 0), rule("y", 7)],
        ),
        (r#"[{name = "x", paths = ["/a", "/b, c"]}]"#, vec![rule("x", 0)]),
        ("[]", vec![]),
    ] {
        let loaded = Layers::new().option("--set", "rules", text).load::<Rules>().unwrap();
        assert_eq!(loaded.value.rules, expected, "{text}");
    }
    let loaded = Layers::new()
        .file("a.toml", "headers = {a = '1', b = '2'}", Format::Toml)
        .environment(
            ENVIRONMENT,
            vars(&[("SCANNER__HEADERS", r#"{"b": "3", "x-c": "[4]"}"#)]),
        )
        .option("--set", "patterns", "[ab],{c}")
        .load::<Rules>()
        .unwrap();
    let headers = [("a", "1"), ("b", "3"), ("x-c", "[4]")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(loaded.value.headers, headers.into());
    assert_eq!(loaded.origin("headers.b").to_string(), "environment SCANNER__HEADERS");
    assert_eq!(loaded.origin("headers.a").to_string(), "a.toml:1:16");
    assert_eq!(loaded.value.patterns, ["[ab]", "{c}"], "texts stay texts");

    let wrong = r#"[{"name": "x", "pathes": []}, {"priority": 300}]"#;
    let problems = Layers::new()
        .option("--set", "rules", wrong)
        .load::<Rules>()
        .unwrap_err();
    let keys: Vec<_> = problems.iter().filter_map(conf::Problem::key).collect();
    assert_eq!(keys, ["rules[0].pathes", "rules[1].priority"]);
    let problems = Layers::new()
        .option("--set", "headers", "a=b")
        .load::<Rules>()
        .unwrap_err();
    let help = problems.iter().next().unwrap().help().unwrap().to_owned();
    assert!(help.contains("`headers.KEY=VALUE`"), "{help}");
}
