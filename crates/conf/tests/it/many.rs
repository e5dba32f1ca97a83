//! Ten mistakes in one file: all are told at once, and nothing that merely follows.

use conf::{Format, Problem};
use snapbox::{assert_data_eq, file};

use crate::model::load;

const YAML: &str = "\
server:
  base_url: ''
  timeout: 30 parsecs
  retry_attemps: 3
  batch_size: 3
scanner:
  scan_paths:
    - /a
    - path: /b
      depth: 70000
  batch_size: 5
  worker_count: '12'
  mime_detection: yes
  max_file_size: 1 banana
loging: {}
logging:
  level: loud
  file: ${LOG_DIR}/a.log
  level: info
";

const TOML: &str = "\
[server]
base_url = \"\"
timeout = \"30 parsecs\"
retry_attemps = 3
batch_size = 3

[scanner]
scan_paths = [\"/a\", { path = \"/b\", depth = 70000 }]
batch_size = 5
worker_count = \"12\"
mime_detection = \"yes\"
max_file_size = \"1 banana\"

[loging]

[logging]
level = \"loud\"
file = \"${LOG_DIR}/a.log\"
";

const JSON: &str = r#"{
  // Comments and trailing commas are fine.
  "server": {
    "base_url": "",
    "timeout": "30 parsecs",
    "retry_attemps": 3,
    "batch_size": 3,
  },
  "scanner": {
    "scan_paths": ["/a", { "path": "/b", "depth": 70000 }],
    "batch_size": 5,
    "worker_count": "12",
    "mime_detection": "yes",
    "max_file_size": "1 banana",
  },
  "loging": {},
  "logging": { "level": "loud", "file": "${LOG_DIR}/a.log", "level": "info" },
}
"#;

/// Four mistakes of syntax, and two of meaning around them.
const TOML_RUIN: &str = "\
[scanner]
batch_size = many
worker_count 5
mime_detection =
batch_sise = 100
ignore_patterns = [\"a\" \"b\"]

[health]
port = 70000
";

#[test]
fn in_yaml() {
    let problems = load(YAML, Format::Yaml).unwrap_err();
    assert_eq!(problems.count(), 13, "{problems}");
    assert_data_eq!(problems.to_string(), file!["../snapshots/many.yaml.txt"].raw());
}

#[test]
fn in_toml() {
    let problems = load(TOML, Format::Toml).unwrap_err();
    assert_eq!(problems.count(), 12, "{problems}");
    assert_data_eq!(problems.to_string(), file!["../snapshots/many.toml.txt"].raw());
}

#[test]
fn in_json() {
    let problems = load(JSON, Format::Json).unwrap_err();
    assert_eq!(problems.count(), 13, "{problems}");
    assert_data_eq!(problems.to_string(), file!["../snapshots/many.json.txt"].raw());
}

#[test]
fn toml_tells_every_mistake_of_syntax_and_those_of_meaning_around_them() {
    let problems = load(TOML_RUIN, Format::Toml).unwrap_err();
    let lines: Vec<_> = problems
        .iter()
        .filter_map(Problem::place)
        .map(|place| place.line)
        .collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 9], "{problems}");
    assert_data_eq!(problems.to_string(), file!["../snapshots/ruin.toml.txt"].raw());
}
