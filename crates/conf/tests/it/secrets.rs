//! What must never be shown.

use conf::{Format, Layers, Settings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ENVIRONMENT, vars};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    server: Server,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Server {
    api_key: Key,
    token_days: u32,
    url: String,
}

/// Refuses what it is given, and says what that was.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Key(String);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Err(format!("`{text}` is no key"))
    }
}

impl Settings for Config {}

#[test]
fn no_layer_shows_a_secret() {
    let layers = [
        Layers::new().environment(ENVIRONMENT, vars(&[("SCANNER_API_KEY", "hunter2")])),
        Layers::new().environment(ENVIRONMENT, vars(&[("SCANNER__SERVER__TOKEN_DAYS", "hunter2")])),
        Layers::new().environment(ENVIRONMENT, vars(&[("SCANNER_PASSWORD", "hunter2")])),
        Layers::new().option("--api-key", "server.api_key", "hunter2"),
        Layers::new().file("a.yaml", "server: {api_key: hunter2}", Format::Yaml),
        Layers::new().file("a.toml", "server = {api_key = 'hunter2', x = 3}", Format::Toml),
        Layers::new().file("a.toml", "server.token_days = 'hunter2'", Format::Toml),
        Layers::new().file(
            "a.json",
            "{\"server\": {\"api_key\": \"hunter2\", \"urk\": 1}}",
            Format::Json,
        ),
        Layers::new()
            .file("a.yaml", "server: {api_key: '${KEY}'}", Format::Yaml)
            .interpolate(|_| Some("hunter2".to_owned())),
        Layers::new()
            .file("a.yaml", "server: {api_key: '${KEY:-hunter2}'}", Format::Yaml)
            .interpolate(|_| None),
        Layers::new().file("a.yaml", "server:\n  api_key: 'hunter2\n", Format::Yaml),
        Layers::new().file("a.toml", "[server]\napi_key = hunter2\n", Format::Toml),
    ];
    for (number, layers) in layers.into_iter().enumerate() {
        let problems = layers.load::<Config>().unwrap_err();
        let shown = format!("{problems} {}", problems.render(true));
        assert!(!shown.contains("hunter2"), "{number}: {shown}");
    }
}

#[test]
fn a_variable_by_name_is_no_secret() {
    let text = "server:\n  api_key: ${SCANNER_API_KEY}\n";
    let problems = Layers::new()
        .file("a.yaml", text, Format::Yaml)
        .interpolate(|_| None)
        .load::<Config>()
        .unwrap_err();
    assert!(
        problems.to_string().contains("api_key: ${SCANNER_API_KEY}"),
        "{problems}"
    );
}

#[test]
fn a_part_read_by_itself_is_judged_by_its_key() {
    let tree = conf::parse("a.yaml", "api_key: hunter2", Format::Yaml).unwrap();
    let problems = conf::from_node::<u16>(tree.get("api_key").unwrap(), "server.api_key").unwrap_err();
    assert!(!problems.to_string().contains("hunter2"), "{problems}");
}
