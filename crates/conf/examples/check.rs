//! Checks a file of settings and shows each value with its origin: `cargo run -p conf --example check [FILE]`.
//! Without a file it checks a text with mistakes, and prints a commented example.

use std::{path::Path, process::ExitCode};

use conf::{Check, EnvironmentSpec, Format, Layers, Settings, annotated_example};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Scanner {
    /// What is scanned.
    scan_paths: Vec<String>,
    /// Files in one request, 10 to 1000.
    batch_size: u32,
    log: Log,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Log {
    level: Level,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Debug,
    #[default]
    Info,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            scan_paths: Vec::new(),
            batch_size: 100,
            log: Log::default(),
        }
    }
}

impl Settings for Scanner {
    fn check(&self, check: &mut Check<'_>) {
        if !(10..=1000).contains(&self.batch_size) {
            check.problem("batch_size", "must lie between 10 and 1000", None);
        }
    }
}

const MISTAKEN: &str = "scan_paths: /data\nbatch_size: 5\nlog: {levle: debug}\n";

const ENVIRONMENT: EnvironmentSpec = EnvironmentSpec {
    prefix: "EXAMPLE",
    short: &[("EXAMPLE_LOG_LEVEL", "log.level")],
    other: &[],
};

fn main() -> ExitCode {
    let (name, text) = match std::env::args().nth(1) {
        Some(name) => match std::fs::read_to_string(&name) {
            Ok(text) => (name, text),
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::from(2);
            }
        },
        None => {
            println!("{}", annotated_example::<Scanner>());
            ("mistaken.yaml".to_owned(), MISTAKEN.to_owned())
        }
    };
    let format = Format::of_path(Path::new(&name)).unwrap_or(Format::Yaml);
    let layers = Layers::new()
        .file(name, text, format)
        .environment(ENVIRONMENT, std::env::vars());
    match layers.interpolate(|name| std::env::var(name).ok()).load::<Scanner>() {
        Ok(loaded) => {
            for effective in loaded.effective() {
                println!("{} = {}  # {}", effective.key, effective.value, effective.origin);
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprint!("{problems}");
            ExitCode::from(3)
        }
    }
}
