//! The mistakes that people make, each alone, in each format: what they are told.

use std::fmt::Write;

use conf::Format;
use snapbox::{assert_data_eq, file};

use crate::model::load;

/// Name of the mistake, then the text in YAML, TOML and JSON.
type Mistake = (&'static str, &'static str, &'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    (
        "unknown key",
        "scanner:\n  batch_sise: 100\n",
        "[scanner]\nbatch_sise = 100\n",
        "{\n  \"scanner\": { \"batch_sise\": 100 }\n}",
    ),
    (
        "unknown key, nothing like it",
        "health:\n  colour: red\n",
        "[health]\ncolour = \"red\"\n",
        "{ \"health\": { \"colour\": \"red\" } }",
    ),
    (
        "typo in a section",
        "scaner:\n  batch_size: 100\n",
        "[scaner]\nbatch_size = 100\n",
        "{ \"scaner\": { \"batch_size\": 100 } }",
    ),
    (
        "key in the wrong section",
        "server:\n  batch_size: 100\n",
        "[server]\nbatch_size = 100\n",
        "{ \"server\": { \"batch_size\": 100 } }",
    ),
    (
        "wrong type",
        "scanner:\n  batch_size: many\n",
        "[scanner]\nbatch_size = \"many\"\n",
        "{ \"scanner\": { \"batch_size\": \"many\" } }",
    ),
    (
        "number for text",
        "logging:\n  file: [1]\n",
        "[logging]\nfile = 1\n",
        "{ \"logging\": { \"file\": 1 } }",
    ),
    (
        "number too large",
        "health:\n  port: 70000\n",
        "[health]\nport = 70000\n",
        "{ \"health\": { \"port\": 70000 } }",
    ),
    (
        "number beyond all numbers",
        "health:\n  port: 1e999\n",
        "[health]\nport = 999999999999999999999999999999999999999999\n",
        "{ \"health\": { \"port\": 1e999 } }",
    ),
    (
        "quoted number",
        "health:\n  port: '8080'\n",
        "[health]\nport = \"8080\"\n",
        "{ \"health\": { \"port\": \"8080\" } }",
    ),
    (
        "fraction where a whole number is wanted",
        "health:\n  port: 80.5\n",
        "[health]\nport = 80.5\n",
        "{ \"health\": { \"port\": 80.5 } }",
    ),
    (
        "bad duration",
        "server:\n  timeout: 30 parsecs\n",
        "[server]\ntimeout = \"thirty s\"\n",
        "{ \"server\": { \"timeout\": \"1 fortnight\" } }",
    ),
    (
        "duration without a unit",
        "server:\n  timeout: 30\n",
        "[server]\ntimeout = 30\n",
        "{ \"server\": { \"timeout\": 30 } }",
    ),
    (
        "bad size",
        "scanner:\n  max_file_size: 100 bananas\n",
        "[scanner]\nmax_file_size = \"100 bananas\"\n",
        "{ \"scanner\": { \"max_file_size\": \"100 bananas\" } }",
    ),
    (
        "bad percentage",
        "scanner:\n  failure_threshold: half\n",
        "[scanner]\nfailure_threshold = \"half\"\n",
        "{ \"scanner\": { \"failure_threshold\": \"half\" } }",
    ),
    (
        "bad choice",
        "logging:\n  level: inf\n",
        "[logging]\nlevel = \"inof\"\n",
        "{ \"logging\": { \"level\": \"loud\" } }",
    ),
    (
        "duplicate key",
        "scanner:\n  batch_size: 100\n  worker_count: 5\n  batch_size: 200\n",
        "[scanner]\nbatch_size = 100\nworker_count = 5\nbatch_size = 200\n",
        "{ \"scanner\": {\n  \"batch_size\": 100,\n  \"batch_size\": 200\n} }",
    ),
    (
        "missing quotes",
        "logging:\n  file: C: logs\n",
        "[logging]\nlevel = info\n",
        "{ \"logging\": { \"level\": info } }",
    ),
    (
        "quote not closed",
        "logging:\n  file: \"a.log\n  level: info\n",
        "[logging]\nfile = \"a.log\nlevel = \"info\"\n",
        "{ \"logging\": { \"file\": \"a.log } }",
    ),
    (
        "unclosed bracket",
        "scanner:\n  scan_paths: [/a, /b\n  batch_size: 100\n",
        "[scanner]\nscan_paths = [\"/a\", \"/b\"\nbatch_size = 100\n",
        "{ \"scanner\": { \"scan_paths\": [\"/a\", \"/b\" } }",
    ),
    (
        "missing comma",
        "scanner:\n  custom_mime_types: {a: b c: d}\n",
        "[scanner]\nscan_paths = [\"/a\" \"/b\"]\n",
        "{ \"scanner\": { \"batch_size\": 100\n  \"worker_count\": 5 } }",
    ),
    (
        "unset variable",
        "server:\n  base_url: https://${API_HOST}/v1\n",
        "[server]\nbase_url = \"https://${API_HOST}/v1\"\n",
        "{ \"server\": { \"base_url\": \"https://${API_HOST}/v1\" } }",
    ),
    (
        "variable of the wrong type",
        "scanner:\n  batch_size: ${HOSTNAME}\n",
        "[scanner]\nbatch_size = \"${HOSTNAME}\"\n",
        "{ \"scanner\": { \"batch_size\": \"${HOSTNAME}\" } }",
    ),
    (
        "list for a section",
        "scanner:\n  - batch_size: 100\n",
        "scanner = [{ batch_size = 100 }]\n",
        "{ \"scanner\": [{ \"batch_size\": 100 }] }",
    ),
    (
        "section for a list",
        "scanner:\n  ignore_patterns:\n    tmp: true\n",
        "[scanner.ignore_patterns]\ntmp = true\n",
        "{ \"scanner\": { \"ignore_patterns\": { \"tmp\": true } } }",
    ),
    (
        "text for a list",
        "scanner:\n  ignore_patterns: '*.tmp'\n",
        "[scanner]\nignore_patterns = \"*.tmp\"\n",
        "{ \"scanner\": { \"ignore_patterns\": \"*.tmp\" } }",
    ),
    (
        "nothing where a value is needed",
        "scanner:\n  batch_size:\n  ignore_patterns:\n",
        "[scanner]\nbatch_size =\n",
        "{ \"scanner\": { \"batch_size\": null } }",
    ),
    (
        "negative",
        "scanner:\n  batch_size: -5\n",
        "[scanner]\nbatch_size = -5\n",
        "{ \"scanner\": { \"batch_size\": -5 } }",
    ),
    (
        "empty text that is required",
        "server:\n  base_url: ''\n",
        "[server]\nbase_url = \"\"\n",
        "{ \"server\": { \"base_url\": \"\" } }",
    ),
    (
        "out of range",
        "scanner:\n  batch_size: 5\n",
        "[scanner]\nbatch_size = 5\n",
        "{ \"scanner\": { \"batch_size\": 5 } }",
    ),
    (
        "keys that exclude one another",
        "scanner:\n  min_file_size: 5MB\n  max_file_size: 1MB\n",
        "[scanner]\nmin_file_size = \"5MB\"\nmax_file_size = \"1MB\"\n",
        "{ \"scanner\": { \"min_file_size\": \"5MB\", \"max_file_size\": \"1MB\" } }",
    ),
    (
        "yes for true",
        "health:\n  enabled: yes\n",
        "[health]\nenabled = yes\n",
        "{ \"health\": { \"enabled\": \"yes\" } }",
    ),
    (
        "mistake inside a section of a list",
        "scanner:\n  scan_paths:\n    - /a\n    - path: /b\n      depth: deep\n    - pat: /c\n",
        "[scanner]\nscan_paths = [\n  \"/a\",\n  { path = \"/b\", depth = \"deep\" },\n  { pat = \"/c\" },\n]\n",
        "{ \"scanner\": { \"scan_paths\": [\"/a\", { \"path\": \"/b\", \"depth\": \"deep\" }, { \"pat\": \"/c\" }] } }",
    ),
    (
        "missing key",
        "scanner:\n  scan_paths:\n    - depth: 3\n",
        "[scanner]\nscan_paths = [{ depth = 3 }]\n",
        "{ \"scanner\": { \"scan_paths\": [{ \"depth\": 3 }] } }",
    ),
    ("not a section at all", "just text\n", "just text\n", "[1, 2]"),
];

/// Mistakes that only one format knows.
const OF_YAML: &[(&str, &str)] = &[
    ("bad indentation", "scanner:\n  batch_size: 100\n   worker_count: 5\n"),
    ("tab", "scanner:\n\tbatch_size: 100\n"),
    ("second document", "scanner:\n  batch_size: 100\n---\nserver: {}\n"),
    ("merge key", "base: &base {batch_size: 100}\nscanner:\n  <<: *base\n"),
    ("unknown tag", "server:\n  api_key: !vault abc\n"),
    ("alias without an anchor", "scanner:\n  batch_size: *size\n"),
    ("missing space after the colon", "scanner:\n  batch_size:100\n"),
    ("leading zero", "scanner:\n  batch_size: 0100\n"),
    (
        "value that begins with a special character",
        "scanner:\n  ignore_patterns:\n    - @eaDir\n",
    ),
    ("pattern without quotes", "scanner:\n  ignore_patterns:\n    - *.tmp\n"),
    ("windows path in double quotes", "logging:\n  file: \"C:\\logs\\x\"\n"),
];

const OF_TOML: &[(&str, &str)] = &[
    ("YAML in a TOML file", "scanner:\n  batch_size: 100\n"),
    (
        "section given twice",
        "[scanner]\nbatch_size = 100\n[server]\n[scanner]\nworker_count = 5\n",
    ),
    ("windows path in double quotes", "[logging]\nfile = \"C:\\logs\\x\"\n"),
    ("unclosed section", "[scanner\nbatch_size = 100\n"),
    ("true with a capital", "[health]\nenabled = True\n"),
];

const OF_JSON: &[(&str, &str)] = &[
    ("single quotes", "{ 'scanner': {} }"),
    ("key without quotes", "{ scanner: {} }"),
    ("brace not closed", "{ \"scanner\": {\n  \"batch_size\": 100\n"),
    ("two values", "{} {}"),
    ("hexadecimal", "{ \"health\": { \"port\": 0x50 } }"),
    ("missing colon", "{ \"health\" { \"port\": 80 } }"),
];

fn report(format: Format, cases: impl IntoIterator<Item = (&'static str, &'static str)>) -> String {
    let mut report = String::new();
    for (name, text) in cases {
        let problems = load(text, format).expect_err(name);
        assert!(
            problems.iter().all(|problem| problem.place().is_some()),
            "{name}: {problems}"
        );
        write!(report, "## {name}\n\n{problems}\n").unwrap();
    }
    report
}

#[test]
fn in_yaml() {
    let cases = MISTAKES
        .iter()
        .map(|(name, yaml, _, _)| (*name, *yaml))
        .chain(OF_YAML.iter().copied());
    assert_data_eq!(
        report(Format::Yaml, cases),
        file!["../snapshots/mistakes.yaml.txt"].raw()
    );
}

#[test]
fn in_toml() {
    let cases = MISTAKES
        .iter()
        .map(|(name, _, toml, _)| (*name, *toml))
        .chain(OF_TOML.iter().copied());
    assert_data_eq!(
        report(Format::Toml, cases),
        file!["../snapshots/mistakes.toml.txt"].raw()
    );
}

#[test]
fn in_json() {
    let cases = MISTAKES
        .iter()
        .map(|(name, _, _, json)| (*name, *json))
        .chain(OF_JSON.iter().copied());
    assert_data_eq!(
        report(Format::Json, cases),
        file!["../snapshots/mistakes.json.txt"].raw()
    );
}

#[test]
fn deep_nesting_is_a_clean_error() {
    let deep = 20_000;
    for (text, format) in [
        ("[".repeat(deep), Format::Yaml),
        (
            (0..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
            Format::Yaml,
        ),
        (format!("a = {}", "[".repeat(deep)), Format::Toml),
        (format!("[{}]", vec!["a"; deep].join(".")), Format::Toml),
        ("[".repeat(deep), Format::Json),
        (format!("{}1{}", "[".repeat(200), "]".repeat(200)), Format::Json),
        ("{\"a\":".repeat(deep), Format::Json),
    ] {
        let problems = conf::parse("deep", text, format).unwrap_err();
        let text = problems.to_string();
        assert!(
            text.contains("deep in one another") || text.contains("not closed"),
            "{format:?}: {text}"
        );
        assert!(text.len() < 3000, "{format:?}: {text}");
    }
}

#[test]
fn aliases_have_a_budget() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let problems = conf::parse("bomb.yaml", text, Format::Yaml).unwrap_err();
    assert!(problems.to_string().contains("too many values"), "{problems}");
}

#[test]
fn many_keys_take_no_quadratic_time() {
    let text: String = (0..50_000).map(|number| format!("k{number}: 1\n")).collect();
    let tree = conf::parse("wide.yaml", text, Format::Yaml).unwrap();
    assert_eq!(tree.root().entries().len(), 50_000);
}
