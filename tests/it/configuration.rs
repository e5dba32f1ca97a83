//! Configuration as people write it, rightly and wrongly.
use testkit::{Output, Program};

const SMALL: &str = r"
server:
  base_url: 'https://api.example.com'
  api_key: '${SCANNER_API_KEY}' # Environment variable
  timeout: '30s'

agent:
  id: '${HOSTNAME}-scanner'
  heartbeat_interval: '60s'

scanner:
  scan_paths:
    - '/data/documents'
    - '/data/images'

  ignore_patterns:
    - '*.tmp'
    - '.git/*'
    - 'node_modules/*'

  batch_size: 100
  worker_count: 5

database:
  path: './scanner_state.db'

logging:
  level: 'info'
  file: './scanner.log'
";

const FULL: &str = r"
server:
  base_url: 'https://api.example.com'
  api_key: '${SCANNER_API_KEY}'
  timeout: '30s'
  retry_attempts: 6
  retry_delay: '1s'
  max_retry_delay: '5m'
  circuit_breaker:
    failure_threshold: 50 # percentage
    recovery_timeout: '2m'
agent:
  id: '${HOSTNAME}-scanner'
  heartbeat_interval: '60s'
  command_poll_interval: '30s'
  config_sync_interval: '5m'
scanner:
  scan_paths: ['/data/documents', '\\server\shared\files']
  ignore_patterns: ['*.tmp', 'Thumbs.db']
  batch_size: 100
  max_file_size: '100MB'
  worker_count: 10
  concurrent_api_calls: 3
  mime_detection: true
  custom_mime_types:
    '.xyz': 'application/xyz-data'
database:
  path: './scanner_state.db'
  backup_enabled: true
  backup_interval: '24h'
  max_backups: 7
  backup_path: './backups'
  wal_mode: true
logging:
  level: 'info'
  format: 'json'
  file: './scanner.log'
  max_size: '10MB'
  max_backups: 5
  max_age: '7d'
  compress: true
performance:
  read_buffer_size: '64KB'
  memory_limit: '100MB'
  gc_percent: 100
  max_open_files: 1000
health:
  enabled: false
  port: 8080
  path: '/health'
security:
  file_permissions: '0600'
  run_as_user: 'scanner'
  audit_file_access: true
";

fn scanner(text: &str, name: &str, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(name), text).unwrap();
    let program = Program::named("scanner").unwrap().args(args).args(["--config", name]);
    program.env("SCANNER_API_KEY", "k-123").home(home.path()).run().unwrap()
}

#[test]
fn the_documents_own_examples_load() {
    let small = scanner(SMALL, "config.yaml", &["config", "check"]).success().unwrap();
    assert!(!small.stdout().contains("warning"), "{}", small.stdout());
    let full = scanner(FULL, "config.yaml", &["config", "check"]).success().unwrap();
    for key in ["gc_percent", "wal_mode", "run_as_user", "audit_file_access"] {
        assert!(full.stdout().contains(key), "no warning names {key}: {}", full.stdout());
    }
    let shown = scanner(FULL, "config.yaml", &["config", "show"]).success().unwrap();
    assert!(!shown.stdout().contains("k-123"), "secrets are masked");
    assert!(shown.stdout().contains("config.yaml:"), "{}", shown.stdout());
}

#[test]
fn every_mistake_of_a_file_is_shown_with_its_line_and_the_remedy() {
    let wrong = "
[scanner]
scan_path = ['/data']
batch_size = 5
worker_count = 'many'
max_file_size = '10 potatoes'
[loging]
level = 'info'
[server]
base_url = 'http://example.com'
api_key = 'written-out'
[agent]
heartbeat_interval = '60'
";
    let output = scanner(wrong, "config.toml", &["config", "check"]).assert_code(3);
    let text = output.stderr();
    for part in [
        "config.toml:3:1",
        "did you mean `scan_paths`",
        "config.toml:4:14",
        "between 10 and 1000",
        "config.toml:5:16",
        "config.toml:6:17",
        "100MB",
        "did you mean `logging`",
        "not HTTPS",
        "SCANNER_API_KEY",
        "config.toml:13:22",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(!text.contains("written-out"), "a secret is not shown:\n{text}");
}

#[test]
fn scan_paths_that_overlap_are_a_mistake_with_a_line() {
    let text = "scanner:\n  scan_paths:\n    - /srv/data\n    - /srv/data/inner\nagent:\n  id: ''\n";
    let output = scanner(text, "config.yaml", &["config", "check"]).assert_code(3);
    assert!(output.stderr().contains("config.yaml:4:7"), "{}", output.stderr());
    assert!(output.stderr().contains("lies in `/srv/data`"), "{}", output.stderr());
    assert!(output.stderr().contains("config.yaml:6:7"), "{}", output.stderr());
}

#[test]
fn what_init_writes_loads_and_the_schema_is_json() {
    for name in ["scanner", "fleet-controller"] {
        let home = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            Program::named(name)
                .unwrap()
                .args(args)
                .home(home.path())
                .run()
                .unwrap()
        };
        run(&["config", "init", "c.yaml"]).success().unwrap();
        run(&["config", "check", "--config", "c.yaml"]).success().unwrap();
        let again = run(&["config", "init", "c.yaml"]).assert_code(4);
        assert!(again.stderr().contains("not overwritten"), "{}", again.stderr());
        let schema = run(&["config", "schema"]).success().unwrap().json().unwrap();
        assert_eq!(schema["type"], "object");
    }
}

#[test]
fn a_variable_that_names_no_key_is_an_error() {
    let program = Program::named("scanner").unwrap().args(["config", "check"]);
    let output = program
        .env("SCANNER__SCANNER__BATCHSIZE", "5")
        .run()
        .unwrap()
        .assert_code(3);
    assert!(output.stderr().contains("BATCH_SIZE"), "{}", output.stderr());
}

#[test]
fn a_controller_off_loopback_wants_to_be_told_so() {
    let program =
        Program::named("fleet-controller")
            .unwrap()
            .args(["serve", "--listen", "0.0.0.0:0", "--data-dir", "d"]);
    let output = program.run().unwrap().assert_code(3);
    assert!(output.stderr().contains("allow_http"), "{}", output.stderr());
}

#[test]
fn the_reference_in_the_docs_is_what_the_programs_print() {
    let reference = include_str!("../../docs/configuration.md");
    for name in ["scanner", "fleet-controller", "reef-agent"] {
        let printed = testkit::run(name, ["config", "init"]).unwrap().success().unwrap();
        assert!(
            reference.contains(printed.stdout().as_ref()),
            "docs/configuration.md: put in what `{name} config init` prints"
        );
    }
}
