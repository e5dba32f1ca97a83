//! What must never be shown.

use std::collections::BTreeMap;

use conf::{Check, Format, Layers, Settings};
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

/// As core-model's: known by its type, whatever its key is called.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Secret(String);

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Typed {
    webhook: Webhook,
    receivers: Vec<Webhook>,
    name: Level,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Webhook {
    url: Option<Secret>,
    headers: BTreeMap<String, Secret>,
    format: Level,
    retries: u32,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Json,
    Text,
}

impl Settings for Typed {
    fn check(&self, check: &mut Check<'_>) {
        if self.webhook.url.as_ref().is_some_and(|url| url.0.contains("ftp")) {
            check.problem("webhook.url", "is no address of a web server", None);
        }
    }
}

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

fn yaml(text: &str) -> Layers {
    Layers::new().file("a.yaml", text, Format::Yaml)
}

#[test]
fn a_value_in_or_around_a_secret_is_never_shown_whatever_its_key_is_called() {
    let variable = |name: &str, value: &str| Layers::new().environment(ENVIRONMENT, vars(&[(name, value)]));
    for (number, layers) in [
        variable("SCANNER__WEBHOOK__HEADERS", "{\"authorization\": \"Bearer hunter2"),
        variable("SCANNER__WEBHOOK__HEADERS", "hunter2"),
        variable("SCANNER__WEBHOOK__HEADERS", "{\"authorization\": [\"hunter2\"]}"),
        variable("SCANNER__WEBHOOK", "hunter2"),
        variable("SCANNER__RECEIVERS", "hunter2"),
        Layers::new().option("--set", "webhook.headers", "authorization=hunter2"),
        yaml("webhook: hunter2"),
        yaml("webhook: [hunter2]"),
        yaml("webhook: {url: [hunter2]}"),
        yaml("webhook: {url: {a: hunter2}}"),
        yaml("webhook: {ulr: hunter2}"),
        yaml("webhook: {headers: {a: {b: hunter2}}}"),
        yaml("webhok: {url: hunter2}"),
        yaml("webhook: {url: ftp://hunter2}"),
        yaml("receivers: [{ulr: hunter2}]"),
        yaml("receivers: [hunter2]"),
        yaml("webhook:\n  url: 'https://hunter2\n"),
        Layers::new().file("a.toml", "[webhook]\nurl = \"https://hunter2\n", Format::Toml),
        Layers::new().file("a.toml", "webhook.headers.authorization = hunter2\n", Format::Toml),
        Layers::new().file("a.toml", "webhook = {url = \"hunter2\", retries = 07}\n", Format::Toml),
    ]
    .into_iter()
    .enumerate()
    {
        let problems = layers.load::<Typed>().unwrap_err();
        let shown = format!("{problems} {problems:?} {}", problems.render(true));
        assert!(!shown.contains("hunter2"), "{number}: {shown}");
    }
}

#[test]
fn beside_secrets_what_is_no_secret_is_shown_as_anywhere() {
    for (text, said) in [
        ("webhook: {format: xml}", "found `xml`"),
        ("webhook: {retries: many}", "found the text `many`"),
        ("nam: xml", "nam: xml"),
        ("name: xml", "found `xml`"),
    ] {
        let problems = yaml(text).load::<Typed>().unwrap_err().to_string();
        assert!(problems.contains(said), "{problems}");
    }
    let broken = Layers::new().file("a.toml", "name = xml\n", Format::Toml);
    let problems = broken.load::<Typed>().unwrap_err().to_string();
    assert!(problems.contains("name = xml"), "{problems}");
}
