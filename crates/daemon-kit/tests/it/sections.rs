//! The shared sections: what they refuse, and what they become.
use daemon_kit::{DatabaseSettings, HealthSettings, LoggingSettings, OutboxSettings, ServerSettings, WhenFull};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    server: ServerSettings,
    health: HealthSettings,
    logging: LoggingSettings,
    database: DatabaseSettings,
    outbox: OutboxSettings,
}

impl conf::Settings for Settings {
    fn check(&self, check: &mut conf::Check<'_>) {
        self.server.check("server", check);
        self.health.check("health", check);
        self.logging.check("logging", check);
        self.database.check("database", check);
        self.outbox.check("outbox", check);
    }
}

fn read(text: &str) -> Result<Settings, Vec<(String, String)>> {
    let layers = conf::Layers::new().file("c.yaml", text, conf::Format::Yaml);
    layers
        .load::<Settings>()
        .map(|loaded| loaded.value)
        .map_err(|problems| {
            let pair = |problem: &conf::Problem| {
                (
                    problem.key().unwrap_or_default().to_owned(),
                    problem.message().to_owned(),
                )
            };
            problems.iter().map(pair).collect()
        })
}

#[test]
fn the_defaults_and_the_document_s_own_sections_are_fine() {
    read("").unwrap();
    let settings = read(
        "server: {base_url: 'https://api.example.com', timeout: 30s, retry_attempts: 6, retry_delay: 1s, \
         max_retry_delay: 5m, circuit_breaker: {failure_threshold: 50, recovery_timeout: 2m}}\n\
         logging: {level: info, format: json, file: ./scanner.log, max_size: 10MB, max_backups: 5, max_age: 7d, \
         compress: true}\n\
         health: {enabled: true, port: 8080, path: /health}\n\
         database: {path: ./scanner_state.db, backup_enabled: true, backup_interval: 24h, max_backups: 7, \
         backup_path: ./backups}\n\
         outbox: {max_bytes: 512MB, max_age: 30d, when_full: drop_oldest}\n",
    )
    .unwrap();
    assert_eq!(settings.health.listen(7604).unwrap().to_string(), "127.0.0.1:8080");
    assert_eq!(HealthSettings::default().listen(7604), None);
    let client = settings.server.client_settings().unwrap();
    assert_eq!(
        (client.breaker.threshold, client.breaker.window, client.retry_attempts),
        (0.5, 10, 6)
    );
    let log = settings.logging.log_settings("scanner", Some("web-1"));
    assert_eq!(log.file.unwrap().max_size.bytes(), 10 << 20);
    assert_eq!(settings.outbox.when_full, WhenFull::DropOldest);
    let state = std::path::Path::new("/srv/state/state.db");
    assert_eq!(settings.database.backup_dir(state), std::path::Path::new("./backups"));
    assert_eq!(
        DatabaseSettings::default().backup_dir(state),
        std::path::Path::new("/srv/state/backups")
    );
}

#[test]
fn each_mistake_is_named_by_its_key() {
    for (text, key) in [
        ("server: {base_url: fleet}", "server.base_url"),
        ("server: {base_url: 'ftp://fleet'}", "server.base_url"),
        ("server: {base_url: 'http://fleet.example.com'}", "server.base_url"),
        ("server: {proxy: '::'}", "server.proxy"),
        ("server: {timeout: 0s}", "server.timeout"),
        ("server: {retry_delay: 10m}", "server.retry_delay"),
        (
            "server: {circuit_breaker: {window: 0}}",
            "server.circuit_breaker.window",
        ),
        (
            "server: {circuit_breaker: {failure_threshold: 0%}}",
            "server.circuit_breaker.failure_threshold",
        ),
        (
            "server: {circuit_breaker: {failure_threshold: 500%}}",
            "server.circuit_breaker.failure_threshold",
        ),
        ("server: {dialect: smtp}", "server.dialect"),
        ("server: {client_certificate: a.pem}", "server.client_key"),
        ("server: {client_key: a.key}", "server.client_certificate"),
        (
            "server: {base_url: 'http://127.0.0.1:7600', client_certificate: a.pem, client_key: a.key}",
            "server.base_url",
        ),
        ("health: {path: health}", "health.path"),
        ("health: {path: /metrics}", "health.path"),
        ("logging: {level: 'loud'}", "logging.level"),
        ("logging: {level: 'info,fsscan=loud'}", "logging.level"),
        ("logging: {max_size: 1KB}", "logging.max_size"),
        ("logging: {file: ''}", "logging.file"),
        ("database: {backup_interval: 0s}", "database.backup_interval"),
        ("database: {backup_interval: 10s}", "database.backup_interval"),
        ("database: {max_backups: 0}", "database.max_backups"),
        ("database: {max_backups: 101}", "database.max_backups"),
        ("database: {path: ''}", "database.path"),
        ("database: {backup_path: ''}", "database.backup_path"),
        ("outbox: {max_bytes: 0}", "outbox.max_bytes"),
        ("outbox: {max_age: 0s}", "outbox.max_age"),
        ("outbox: {when_full: explode}", "outbox.when_full"),
    ] {
        let problems = read(text).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, [key], "{text}: {problems:?}");
    }
    for fine in [
        "server: {base_url: 'http://fleet.example.com', allow_http: true}",
        "server: {base_url: 'http://127.0.0.1:7600'}",
        "server: {base_url: 'https://a', client_certificate: a.pem, client_key: a.key}",
        "server: {client_certificate: a.pem, client_key: a.key}",
        "logging: {level: 'INFO, fsscan=debug'}",
        "logging: {max_size: 0}",
    ] {
        read(fine).unwrap();
    }
}

#[test]
fn the_check_of_the_level_and_the_log_itself_agree() {
    let telemetry = telemetry_otel::init(LoggingSettings::default().log_settings("test", None)).unwrap();
    for level in [
        "info",
        "info,fsscan=debug",
        "off",
        "WARN",
        "Info , fsscan = trace",
        "loud",
        "info,fsscan=loud",
        "",
    ] {
        let is_valid = read(&format!("logging: {{level: '{level}'}}")).is_ok();
        assert_eq!(is_valid, telemetry.set_level(level).is_ok(), "`{level}`");
    }
    // The log is that of the whole process, and the other tests have much to say.
    telemetry.set_level("off").unwrap();
}

#[test]
fn a_proxy_with_a_password_is_never_shown() {
    let settings = read("server: {base_url: 'https://a', proxy: 'http://me:hunter2@proxy:3128'}").unwrap();
    let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(
        settings.server.client_settings().unwrap().proxy.unwrap().port(),
        Some(3128)
    );
}

#[test]
fn a_policy_s_name_is_that_of_the_file() {
    for policy in [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block] {
        let settings = read(&format!("outbox: {{when_full: {}}}", policy.name())).unwrap();
        assert_eq!(settings.outbox.when_full, policy);
    }
}

#[test]
fn every_key_of_the_sections_is_in_the_example_with_its_meaning() {
    let example = conf::annotated_example::<Settings>();
    for key in [
        "backup_interval: \"1d\"",
        "max_backups: 7",
        "max_bytes: \"512MB\"",
        "max_age: \"30d\"",
        "when_full: \"block\"",
    ] {
        let at = example.find(key).unwrap_or_else(|| panic!("{key}\n{example}"));
        let above = example[..at].lines().nth_back(1).unwrap_or_default();
        assert!(above.trim_start().starts_with("# "), "no comment above {key}: {above}");
    }
}
