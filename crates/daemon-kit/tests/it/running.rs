//! The end of a process in which something hangs, and panics with their place: this test binary, started anew.
use clap::Parser;
use daemon_kit::{
    Cause, ConfigFinder, ConfigSpec, Exit, LoggingSettings, Restart, RuntimeSettings, Signals, Supervisor,
    Surroundings,
    cli::{CommonArgs, DoctorArgs, Product},
    run,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    process::{Command, Output, Stdio},
    time::Duration,
};

const ROLE: &str = "DAEMON_KIT_TEST_RUN";

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    logging: LoggingSettings,
    /// A number.
    count: u32,
}

impl conf::Settings for Settings {}

impl Product for Settings {
    const SPEC: ConfigSpec = ConfigSpec {
        finder: ConfigFinder {
            product: "shoal-test",
            prefix: "SHOAL_TEST",
        },
        short_variables: &[("SHOAL_TEST_LOG_LEVEL", "logging.level")],
        other_variables: &[],
        meaningless: &[("old", "nobody needs it")],
        never_literal: &[],
    };

    fn logging(&self) -> &LoggingSettings {
        &self.logging
    }

    fn agent_id(&self, around: &Surroundings) -> Option<String> {
        Some(format!("{}-test", around.hostname))
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
}

const AGAIN: Restart = Restart::Backoff(core_model::Backoff {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(1),
});

/// The program. It does nothing when the tests run as usual.
#[test]
fn as_a_program() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let args = std::env::var("DAEMON_KIT_TEST_ARGS").unwrap();
    let cli = Cli::parse_from(["shoal-test"].into_iter().chain(args.split_whitespace()));
    let exit = match role.as_str() {
        "begin" => begin(&cli),
        "panic" => panics(&cli),
        "hang" => hangs(&cli, false),
        "hang-worker" => hangs(&cli, true),
        "doctor" => examine(&cli),
        other => panic!("{other}"),
    };
    std::process::exit(i32::from(exit.unwrap_or_else(|error| Exit::of_failure(&error)).code()));
}

fn begin(cli: &Cli) -> anyhow::Result<Exit> {
    let started = cli.common.begin::<Settings>("warn", &[])?;
    tracing::error!("said as error");
    tracing::warn!("said as warning");
    tracing::info!("said as information");
    tracing::debug!("said for debugging");
    eprintln!("count {}", started.settings().count);
    eprintln!("data {}", started.data_dir.path.display());
    Ok(Exit::Done)
}

fn panics(cli: &Cli) -> anyhow::Result<Exit> {
    let _started = cli.common.begin::<Settings>("warn", &[])?;
    run(RuntimeSettings::default(), async {
        let signals = Signals::take()?;
        let mut supervisor = Supervisor::new(Duration::from_secs(60));
        let states = supervisor.states();
        let health = transport_http::HealthRegistry::new("1.0.0", None);
        states.report_to(&health);
        let mut starts = 0;
        supervisor.spawn("count", AGAIN, move |_| {
            starts += 1;
            let is_first = starts == 1;
            async move {
                assert!(!is_first, "number one");
                Ok::<(), Infallible>(())
            }
        });
        assert_eq!(supervisor.join(signals).await?.cause, Cause::AllDone);
        eprintln!("restarts {}", states.restarts("count"));
        let router = transport_http::health_routes(health, &transport_http::HealthOptions::default());
        let server = transport_http::Server::bind("127.0.0.1:0".parse()?)?;
        let client = transport_http::ClientSettings::new(format!("http://{}", server.local_addr()).parse()?);
        let client = transport_http::Client::new(client)?;
        let stop = tokio_util::sync::CancellationToken::new();
        let (served, document) = tokio::join!(server.run(router, stop.clone(), Duration::from_secs(60)), async {
            let document = client.get_json::<serde_json::Value>("/health").await;
            stop.cancel();
            document
        });
        served?;
        eprintln!("health {}", document?["tasks"]["count"]);
        Ok(Exit::Done)
    })
}

fn hangs(cli: &Cli, in_worker: bool) -> anyhow::Result<Exit> {
    let _started = cli.common.begin::<Settings>("warn", &[])?;
    let settings = RuntimeSettings {
        last_wait: Duration::from_millis(50),
        ..RuntimeSettings::default()
    };
    run(settings, async {
        let signals = Signals::take()?;
        let mut supervisor = Supervisor::new(Duration::from_millis(50));
        let stop = supervisor.stop();
        supervisor.spawn("scan", Restart::Never, move |_| {
            let stop = stop.clone();
            async move {
                // A disk that does not answer.
                let hang = move || {
                    stop.cancel();
                    loop {
                        std::thread::park();
                    }
                };
                if in_worker {
                    hang();
                }
                tokio::task::spawn_blocking(hang).await
            }
        });
        let stopped = supervisor.join(signals).await?;
        assert_eq!(stopped.aborted, ["scan"]);
        Ok(Exit::Partial)
    })
}

fn examine(cli: &Cli) -> anyhow::Result<Exit> {
    let mut checkup = cli.common.check_up::<Settings>();
    checkup.hide(&core_model::Secret::new("planted-enrolled"));
    let database = checkup.path("count", None, "state.db");
    let found = database.map(|path| format!("{} planted-enrolled", path.display()));
    checkup.report.add(daemon_kit::doctor::outcome(
        "state",
        found.ok_or("no path"),
        "correct the configuration",
    ));
    let args = DoctorArgs {
        bundle: std::env::var_os("DAEMON_KIT_TEST_BUNDLE").map(Into::into),
    };
    checkup.finish(&args, "shoal-test 1.2.3", cli.common.output.into())
}

fn program(role: &str, args: &str, variables: &[(&str, &str)]) -> (Output, String) {
    let home = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "running::as_a_program", "--nocapture"])
        .env(ROLE, role)
        .env("DAEMON_KIT_TEST_ARGS", args)
        .env("HOME", home.path())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("RUST_BACKTRACE")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (send, ended) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output().unwrap();
        // Whoever waited in vain is gone.
        let _ = send.send(());
        output
    });
    // A program that does not end is what some of these tests are about: it must not stay when they fail.
    let is_over = ended.recv_timeout(Duration::from_secs(60)).is_ok();
    if !is_over {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    let output = waiting.join().unwrap();
    assert!(is_over, "it did not end: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn a_command_begins_with_its_configuration_and_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c.yaml");
    std::fs::write(&config, "count: 3\nold: 1\n").unwrap();
    let named = format!("--config {} --data-dir /srv/state", config.display());
    let levels = |said: &str| {
        ["error", "warning", "information", "debugging"].map(|level| said.contains(&format!("said {}", as_said(level))))
    };
    let (output, said) = program("begin", &named, &[]);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        levels(&said),
        [true, true, false, false],
        "the command's own level\n{said}"
    );
    assert!(
        said.contains("count 3\n") && said.contains("data /srv/state\n"),
        "{said}"
    );
    assert!(
        !said.contains("nobody needs it"),
        "what the configuration warns of is said by who checks it, and in the log of a daemon\n{said}"
    );
    for (args, expected) in [
        ("--quiet", [true, false, false, false]),
        ("-v", [true, true, true, true]),
        ("--set logging.level=info", [true, true, true, false]),
    ] {
        let (_, said) = program("begin", &format!("{named} {args}"), &[]);
        assert_eq!(levels(&said), expected, "{args}\n{said}");
    }
    let (_, said) = program("begin", &named, &[("SHOAL_TEST_LOG_LEVEL", "error")]);
    assert_eq!(levels(&said), [true, false, false, false], "{said}");
    let (output, said) = program("begin", &format!("{named} --set count=many"), &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("--set") && said.contains("count"), "{said}");
}

fn as_said(level: &str) -> String {
    let preposition = if level == "debugging" { "for" } else { "as" };
    format!("{preposition} {level}")
}

#[test]
fn a_panic_is_logged_with_its_place_and_its_task_and_shown_in_health() {
    let (output, said) = program("panic", "", &[]);
    assert!(output.status.success(), "{said}");
    let line = said
        .lines()
        .find(|line| line.contains("panic: number one"))
        .unwrap_or_default();
    assert!(line.contains("count") && line.contains("running.rs:"), "{said}");
    assert!(
        said.contains("panicked at crates/daemon-kit/tests/it/running.rs:"),
        "{said}"
    );
    assert!(said.contains("restarts 1\n"), "{said}");
    assert!(said.contains("health \"done; restarts: 1\"\n"), "{said}");
}

#[test]
fn a_panic_is_told_on_standard_error_where_nothing_is_logged() {
    let (_, said) = program("panic", "--set logging.level=off", &[]);
    assert!(said.contains("number one") && said.contains("running.rs:"), "{said}");
}

#[test]
fn the_process_ends_although_a_thread_hangs_and_the_log_names_the_task() {
    for role in ["hang", "hang-worker"] {
        let (output, said) = program(role, "", &[]);
        assert_eq!(output.status.code(), Some(5), "{role}: {said}");
        let line = said
            .lines()
            .find(|line| line.contains("has not ended"))
            .unwrap_or_default();
        assert!(line.contains("scan"), "{role}: {said}");
    }
}

#[test]
fn a_doctor_goes_on_with_a_wrong_configuration_and_writes_its_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let (config, bundle) = (dir.path().join("c.yaml"), dir.path().join("help.tar.gz"));
    let args = format!(
        "--config {} --data-dir {} -o json",
        config.display(),
        dir.path().display()
    );
    let secret = ("SHOAL_TEST_JOIN_TOKEN", "planted-token");
    let examined = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let _ = std::fs::remove_file(&bundle);
        let (output, said) = program(
            "doctor",
            &args,
            &[secret, ("DAEMON_KIT_TEST_BUNDLE", bundle.to_str().unwrap())],
        );
        let printed = String::from_utf8(output.stdout).unwrap();
        // The harness of this test's child prints on the same stream, on the same line.
        let begin = printed.find("{\"").unwrap_or_else(|| panic!("{printed}\n{said}"));
        let mut documents = serde_json::Deserializer::from_str(&printed[begin..]).into_iter::<serde_json::Value>();
        let report = documents.next().unwrap().unwrap();
        let verdicts: std::collections::BTreeMap<String, String> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let text = |key: &str| finding[key].as_str().unwrap().to_owned();
                (text("check"), text("verdict"))
            })
            .collect();
        let bytes = std::fs::read(&bundle).unwrap();
        let mut unpacked = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked).unwrap();
        assert!(!unpacked.contains("planted"), "{unpacked}");
        assert!(
            unpacked.contains("shoal-test 1.2.3") && unpacked.contains("count"),
            "{unpacked}"
        );
        (output.status.code(), verdicts)
    };
    let (code, verdicts) = examined("count: 3\n");
    assert_eq!(
        (verdicts["configuration"].as_str(), verdicts["state"].as_str()),
        ("ok", "ok"),
        "{verdicts:?}"
    );
    for check in [
        "config permissions",
        "data directory",
        "data disk",
        "open files",
        "proxy variables",
    ] {
        assert!(verdicts.contains_key(check), "{check}: {verdicts:?}");
    }
    // A machine of these tests may be short of something; that is a warning, and no failure.
    assert_eq!(code, Some(0), "{verdicts:?}");
    let (code, verdicts) = examined("count: many\npassword: planted-password\n");
    assert_eq!(code, Some(4));
    assert_eq!(
        (verdicts["configuration"].as_str(), verdicts["state"].as_str()),
        ("failure", "failure")
    );
    assert!(verdicts.contains_key("data directory"), "{verdicts:?}");
}
