//! Whole settings: two files, variables, options, `${…}` in one typed value.
use conf::{EnvironmentSpec, Format, Layers, Settings};
use core_model::{ByteSize, Period, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Fuzzed {
    server: Server,
    scan_paths: Vec<String>,
    limit: Option<ByteSize>,
    every: Period,
    brake: Share,
    mime_types: BTreeMap<String, String>,
    mode: Mode,
    count: u32,
    ratio: f64,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Server {
    base_url: String,
    retries: Option<u8>,
    allow_http: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Metadata,
    Hash,
    Hybrid,
}

impl Settings for Fuzzed {}

const ENVIRONMENT: EnvironmentSpec = EnvironmentSpec {
    prefix: "FUZZED",
    short: &[("FUZZED_URL", "server.base_url")],
    other: &["FUZZED_CONFIG"],
};

/// Parts between NUL bytes. The first byte of all says the format; then two files, then `NAME=value` for each variable
/// and `key:=value` for each option.
///
/// # Panics
/// When settings that were read are not read again from what `effective` tells of them.
pub fn conf_load(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let format = [Format::Yaml, Format::Toml, Format::Json][usize::from(*first) % 3];
    let text = String::from_utf8_lossy(rest);
    let mut parts = text.split('\0');
    let mut layers = Layers::new();
    for name in ["one", "two"] {
        layers = layers.file(name, parts.next().unwrap_or_default(), format);
    }
    let mut variables = BTreeMap::new();
    for part in parts {
        if let Some((key, value)) = part.split_once(":=") {
            layers = layers.option("--option", key, value);
        } else if let Some((name, value)) = part.split_once('=') {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    let known = variables.clone();
    let loaded = layers
        .environment(ENVIRONMENT, variables)
        .interpolate(move |name| known.get(name).cloned())
        .load::<Fuzzed>();
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            assert!(!problems.render(true).is_empty());
            return;
        }
    };
    assert!(!loaded.effective().is_empty());
    if !loaded.value.ratio.is_finite() {
        // JSON, in which it is written again, has no word for it.
        return;
    }
    let json = serde_json::to_string(&loaded.value).unwrap_or_default();
    let again = Layers::new()
        .file("again", json.as_str(), Format::Json)
        .load::<Fuzzed>();
    let again = again.map_err(|problems| problems.to_string()).map(|again| again.value);
    assert_eq!(again, Ok(loaded.value), "{json}");
}
