//! From files and variables to settings, and the four verbs.
use daemon_kit::{
    ConfigError, ConfigFinder, ConfigSpec, Loaded, LoggingSettings, Override, ServerSettings, Surroundings, load,
    verbs::{self, InitError, ShowAs},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs;
use tempfile::TempDir;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Agent {
    /// The agent's name.
    id: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    server: ServerSettings,
    agent: Agent,
    logging: LoggingSettings,
}

impl conf::Settings for Settings {
    fn check(&self, check: &mut conf::Check<'_>) {
        self.server.check("server", check);
        self.logging.check("logging", check);
    }
}

const SPEC: ConfigSpec = ConfigSpec {
    finder: ConfigFinder {
        product: "scanner",
        prefix: "SCANNER",
    },
    short_variables: &[
        ("SCANNER_API_KEY", "server.api_key"),
        ("SCANNER_LOG_LEVEL", "logging.level"),
    ],
    other_variables: &[],
    meaningless: &[("performance.gc_percent", "there is no garbage collector")],
    never_literal: &["server.api_key"],
};

struct Host {
    dir: TempDir,
    around: Surroundings,
}

impl Host {
    fn new(name: &str, text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let around = Surroundings {
            system_config: dir.path().to_owned(),
            hostname: "web-1".to_owned(),
            ..Surroundings::default()
        };
        fs::create_dir(dir.path().join("scanner")).unwrap();
        fs::write(dir.path().join("scanner").join(name), text).unwrap();
        Self { dir, around }
    }

    fn env(self, text: &str) -> Self {
        let path = self.dir.path().join("scanner/env");
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.around.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self, overrides: &[Override<'_>]) -> Result<Loaded<Settings>, ConfigError> {
        load(&SPEC, None, overrides, &self.around)
    }
}

fn level(host: &Host, overrides: &[Override<'_>]) -> String {
    host.load(overrides).unwrap().settings.value.logging.level
}

#[test]
fn file_then_env_file_then_environment_then_command_line() {
    let host = Host::new(
        "config.yaml",
        "logging: {level: warn}\nagent: {id: '${HOSTNAME}-scanner'}\n",
    );
    assert_eq!(level(&host, &[]), "warn");
    assert_eq!(host.load(&[]).unwrap().settings.value.agent.id, "web-1-scanner");
    let host = host.env("SCANNER_LOG_LEVEL=error\nSCANNER_API_KEY=from-file\n");
    assert_eq!(level(&host, &[]), "error");
    let host = host.variable("SCANNER_LOG_LEVEL", "debug");
    assert_eq!(
        level(&host, &[]),
        "debug",
        "the real environment wins over the env file"
    );
    let option = Override {
        option: "--log-level",
        key: "logging.level".into(),
        value: "trace".to_owned(),
    };
    assert_eq!(level(&host, &[option]), "trace");
    let loaded = host.load(&[]).unwrap();
    assert_eq!(loaded.settings.value.server.api_key.unwrap().reveal(), "from-file");
    assert_eq!(loaded.variables["SCANNER_API_KEY"], "from-file");
}

#[test]
fn an_env_file_feeds_interpolation() {
    let host = Host::new(
        "config.toml",
        "[server]\napi_key = '${KEY}'\nbase_url = 'https://${HOST:-fleet}.example.com'\n",
    );
    let error = host.load(&[]).unwrap_err().render(false);
    assert!(error.contains("`KEY` is not set"), "{error}");
    let server = host.env("KEY=k\n").load(&[]).unwrap().settings.value.server;
    assert_eq!(server.base_url.unwrap(), "https://fleet.example.com");
    assert_eq!(server.api_key.unwrap().reveal(), "k");
}

#[test]
fn variables_read_elsewhere_are_no_unknown_settings_and_others_are() {
    let host = Host::new("config.yaml", "")
        .variable("SCANNER_DATA_DIR", "/data")
        .variable("SCANNER_JOIN_TOKEN", "t");
    host.load(&[]).unwrap();
    let error = host
        .variable("SCANNER_LOG_LEVLE", "debug")
        .load(&[])
        .unwrap_err()
        .render(false);
    assert!(error.contains("did you mean `SCANNER_LOG_LEVEL`"), "{error}");
}

#[test]
fn a_literal_key_in_a_file_is_refused_with_the_remedy_and_without_the_key() {
    for text in [
        "server:\n  api_key: hunter2\n",
        "server:\n  api_key: '${SCANNER_API_KEY:-hunter2}'\n",
        "server:\n  api_key: 'hunter2-${SCANNER_API_KEY}'\n",
        "server:\n  api_key: 123456\nlogging: {levle: info}\n",
    ] {
        let host = Host::new("config.yaml", text).variable("SCANNER_API_KEY", "k");
        let error = host.load(&[]).unwrap_err();
        let shown = error.render(false);
        assert!(
            shown.contains("config.yaml:2:12") && shown.contains("${SCANNER_API_KEY}"),
            "{shown}"
        );
        assert!(
            !shown.contains("hunter2") && !format!("{error} {error:?}").contains("hunter2"),
            "{shown}"
        );
        assert_eq!(
            shown.contains("did you mean `level`"),
            text.contains("levle"),
            "all problems at once: {shown}"
        );
    }
    for text in [
        "server: {api_key: '${SCANNER_API_KEY}'}",
        "server: {api_key: ''}",
        "server: {api_key: }",
    ] {
        Host::new("config.yaml", text)
            .variable("SCANNER_API_KEY", "k")
            .load(&[])
            .unwrap();
    }
}

#[test]
fn check_says_what_is_valid_and_what_is_not() {
    let host = Host::new("config.yaml", "performance: {fans: 3}\n");
    let error = verbs::check(&host.load(&[]), false).unwrap_err();
    assert!(error.contains("performance"), "{error}");
    let host = Host::new("config.yaml", "performance: {gc_percent: 100}\n");
    let warned = verbs::check(&host.load(&[]), false).unwrap();
    assert!(
        warned.contains("performance.gc_percent: this key has no meaning"),
        "a section of nothing but such keys is no mistake: {warned}"
    );
    let host = Host::new("config.yaml", "logging: {level: debug}\n").env("A=1\n");
    let text = verbs::check(&host.load(&[]), false).unwrap();
    assert!(
        text.contains("config.yaml: valid (named by the system's configuration directory)"),
        "{text}"
    );
    assert!(text.contains("env: read"), "{text}");
    let mut nowhere = host;
    nowhere.around.system_config = nowhere.dir.path().join("none");
    assert!(
        verbs::check(&nowhere.load(&[]), false)
            .unwrap()
            .contains("no configuration file")
    );
}

#[test]
fn show_gives_each_value_its_origin_and_hides_secrets() {
    let host = Host::new("config.yaml", "server: {retry_attempts: 3}\n").variable("SCANNER_API_KEY", "hunter2");
    let loaded = host.load(&[]).unwrap();
    let table = verbs::show(&loaded, ShowAs::Table);
    let line = |key: &str| table.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("server.retry_attempts").ends_with("config.yaml:1:26"), "{table}");
    assert!(line("server.api_key").contains("***") && line("server.api_key").ends_with("environment SCANNER_API_KEY"));
    assert!(line("logging.level").contains("info") && line("logging.level").ends_with("default"));
    assert!(!table.contains("hunter2"));
    let json: serde_json::Value = serde_json::from_str(&verbs::show(&loaded, ShowAs::Json)).unwrap();
    let lines = verbs::show(&loaded, ShowAs::JsonLines);
    assert_eq!(json.as_array().unwrap().len(), lines.lines().count());
    assert!(
        lines
            .lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["origin"].is_string())
    );
}

#[test]
fn a_long_value_is_cut_in_columns_and_whole_in_json() {
    let url = format!("https://example.com/{}", "x".repeat(400));
    let host = Host::new("config.yaml", &format!("server: {{base_url: '{url}'}}\n"));
    let loaded = host.load(&[]).unwrap();
    let table = verbs::show(&loaded, ShowAs::Table);
    let line = table.lines().find(|line| line.starts_with("server.base_url")).unwrap();
    assert!(line.contains("xxx…  ") && line.ends_with("config.yaml:1:20"), "{line}");
    assert!(verbs::show(&loaded, ShowAs::Json).contains(&url));
}

#[test]
fn init_writes_an_example_that_loads_and_never_overwrites() {
    let host = Host::new("config.yaml", "");
    let path = host.dir.path().join("new/deeper/config.yaml");
    assert!(verbs::init::<Settings>(Some(&path)).unwrap().contains("config.yaml"));
    let example = fs::read_to_string(&path).unwrap();
    assert_eq!(example, verbs::init::<Settings>(None).unwrap());
    load::<Settings>(&SPEC, Some(&path), &[], &host.around).unwrap();
    // Every line with a key, its default no more a comment, must load too: the example never lies.
    let uncommented: String = example.lines().map(|line| uncomment(line) + "\n").collect();
    fs::write(&path, &uncommented).unwrap();
    let loaded = load::<Settings>(&SPEC, Some(&path), &[], &host.around);
    assert!(loaded.is_ok(), "{}\n{uncommented}", loaded.unwrap_err().render(false));
    assert!(matches!(
        verbs::init::<Settings>(Some(&path)),
        Err(InitError::Exists(_))
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), uncommented);
    let json = host.dir.path().join("config.json");
    assert!(matches!(
        verbs::init::<Settings>(Some(&json)),
        Err(InitError::NoComments(_))
    ));
}

#[test]
fn init_writes_toml_where_the_name_says_so_with_the_same_comments_and_defaults() {
    let host = Host::new("config.yaml", "");
    let path = host.dir.path().join("config.toml");
    verbs::init::<Settings>(Some(&path)).unwrap();
    let example = fs::read_to_string(&path).unwrap();
    load::<Settings>(&SPEC, Some(&path), &[], &host.around).unwrap();
    let prose = |text: &str| {
        let lines = text.lines().filter(|line| line.trim_start().starts_with("# "));
        let mut lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(prose(&example), prose(&verbs::init::<Settings>(None).unwrap()));
    // What has no default has no value to uncomment.
    let is_nothing = |line: &&str| !line.ends_with('=');
    let uncommented: String = example
        .lines()
        .filter(is_nothing)
        .map(|line| uncomment(line) + "\n")
        .collect();
    fs::write(&path, &uncommented).unwrap();
    let loaded = load::<Settings>(&SPEC, Some(&path), &[], &host.around);
    let loaded = loaded.unwrap_or_else(|error| panic!("{}\n{uncommented}", error.render(false)));
    let values = |loaded: &Loaded<Settings>| serde_json::to_value(&loaded.settings.value).unwrap();
    let defaults = load::<Settings>(&SPEC, None, &[], &Host::new("none", "").around).unwrap();
    assert_eq!(values(&loaded), values(&defaults));
}

/// `#key: value` is a default commented out; `# text` is a description.
fn uncomment(line: &str) -> String {
    match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => line.replacen('#', "", 1),
        _ => line.to_owned(),
    }
}

#[test]
fn the_schema_knows_the_sections() {
    let schema: serde_json::Value = serde_json::from_str(&verbs::schema::<Settings>()).unwrap();
    let text = schema.to_string();
    assert!(schema["properties"]["server"].is_object());
    assert!(text.contains("files-v1") && text.contains("retry_attempts"), "{text}");
}
