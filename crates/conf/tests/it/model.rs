//! Settings such as a product has, units included.

use std::{collections::BTreeMap, fmt, str::FromStr};

use conf::{Check, EnvironmentSpec, Format, Layers, Problems, Settings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A scanner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    /// Where results go.
    pub(crate) server: Server,
    pub(crate) scanner: Scanner,
    pub(crate) logging: Logging,
    pub(crate) health: Health,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Server {
    /// URL of the server, with its scheme.
    pub(crate) base_url: String,
    pub(crate) api_key: String,
    /// How long a request may take.
    pub(crate) timeout: Period,
    pub(crate) retry_attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Scanner {
    /// What is scanned.
    pub(crate) scan_paths: Vec<Root>,
    pub(crate) ignore_patterns: Vec<String>,
    /// Files per request, 10 to 1000.
    pub(crate) batch_size: u32,
    pub(crate) min_file_size: Size,
    pub(crate) max_file_size: Size,
    pub(crate) worker_count: u8,
    pub(crate) mime_detection: bool,
    pub(crate) custom_mime_types: BTreeMap<String, String>,
    pub(crate) failure_threshold: Percent,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Logging {
    pub(crate) level: Level,
    /// Where the log goes; to the terminal if unset.
    pub(crate) file: Option<String>,
    pub(crate) max_backups: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Health {
    pub(crate) enabled: bool,
    pub(crate) port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl Default for Server {
    fn default() -> Self {
        let base_url = "https://localhost".to_owned();
        Self {
            base_url,
            api_key: String::new(),
            timeout: Period(30),
            retry_attempts: 6,
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            scan_paths: Vec::new(),
            ignore_patterns: vec!["*.tmp".to_owned(), "${not a variable".to_owned()],
            batch_size: 100,
            min_file_size: Size(0),
            max_file_size: Size(100 << 20),
            worker_count: 5,
            mime_detection: true,
            custom_mime_types: BTreeMap::new(),
            failure_threshold: Percent(50),
        }
    }
}

/// A unit that is written as a number and a suffix; read from text, or from a number where `$bare` says so.
macro_rules! unit {
    ($name:ident, $expects:literal, [$($suffix:literal = $factor:expr),*], $write:literal) => {
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, JsonSchema)]
        #[schemars(with = "String")]
        pub(crate) struct $name(pub(crate) u64);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let wrong = || format!("expected {}, found `{text}`", $expects);
                $(if let Some(number) = text.strip_suffix($suffix) {
                    return number.trim().parse::<u64>().map(|number| Self(number * $factor)).map_err(|_| wrong());
                })*
                Err(wrong())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{}{}", self.0, $write))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expects)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

unit!(
    Period,
    "a duration such as `30s` or `5m`",
    ["s" = 1, "m" = 60, "h" = 3600],
    "s"
);
unit!(
    Size,
    "a size such as `100MB`",
    ["KB" = 1 << 10, "MB" = 1 << 20, "B" = 1],
    "B"
);
unit!(Percent, "a percentage such as `50%`", ["%" = 1], "%");

/// A path, or a section with the path and more.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Root {
    pub(crate) path: String,
    pub(crate) depth: u16,
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            path: String,
            #[serde(default)]
            depth: u16,
        }
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Root;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a section with `path` and `depth`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Root, E> {
                Ok(Root {
                    path: text.to_owned(),
                    depth: 0,
                })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Root, A::Error> {
                let Long { path, depth } = Long::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Root { path, depth })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Settings for Config {
    fn examples() -> &'static [(&'static str, &'static str)] {
        &[
            ("scanner.scan_paths", r#"["/srv", "${HOME}"]"#),
            (
                "scanner.custom_mime_types",
                r#"[{"z": "x y", "a": [1, {"b.c": "\"", "d": null}]}, {"z": "2"}]"#,
            ),
        ]
    }

    fn check(&self, check: &mut Check<'_>) {
        if self.server.base_url.is_empty() {
            check.problem(
                "server.base_url",
                "must not be empty",
                Some("write the server's URL: `https://…`"),
            );
        }
        if !(10..=1000).contains(&self.scanner.batch_size) {
            check.problem("scanner.batch_size", "must lie between 10 and 1000", None);
        }
        if self.scanner.min_file_size > self.scanner.max_file_size {
            let keys = ["scanner.min_file_size", "scanner.max_file_size"];
            check.conflict(
                &keys,
                "is larger than `scanner.max_file_size`: no file could ever match",
                None,
            );
        }
    }
}

pub(crate) const ENVIRONMENT: EnvironmentSpec = EnvironmentSpec {
    prefix: "SCANNER",
    short: &[
        ("SCANNER_API_KEY", "server.api_key"),
        ("SCANNER_LOG_LEVEL", "logging.level"),
    ],
    other: &["SCANNER_CONFIG", "SCANNER_DATA_DIR"],
};

pub(crate) fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn lookup(name: &str) -> Option<String> {
    match name {
        "HOSTNAME" => Some("box".to_owned()),
        "BATCH" => Some("250".to_owned()),
        "EVIL" => Some("x\nscanner: {batch_size: 1}".to_owned()),
        _ => None,
    }
}

pub(crate) fn load(text: &str, format: Format) -> Result<Config, Problems> {
    let name = match format {
        Format::Toml => "scanner.toml",
        Format::Yaml => "scanner.yaml",
        Format::Json => "scanner.json",
    };
    Layers::new()
        .file(name, text, format)
        .interpolate(lookup)
        .load::<Config>()
        .map(|loaded| loaded.value)
}
