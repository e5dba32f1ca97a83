//! The shared command line: help, refusals, completions run in bash, manual pages as groff reads them.
use clap::{CommandFactory, Parser, Subcommand};
use daemon_kit::cli::{
    CommonArgs, CompletionsArgs, ConfigCommand, ManArgs, Output, RowOutput, Shell, completions, man,
};
use std::{
    fs,
    process::{Command as Process, Stdio},
};

/// An example.
#[derive(Debug, Parser)]
#[command(name = "shoal-example", version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs<RowOutput>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stay up.
    Run {
        /// One round.
        #[arg(long)]
        once: bool,
    },
    /// Look after the state.
    #[command(subcommand)]
    State(State),
    /// Check, explain and begin a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command.
    Man(ManArgs),
}

#[derive(Debug, Subcommand)]
enum State {
    /// Look for damage.
    Check,
}

#[derive(Debug, Parser)]
struct Plain {
    #[command(flatten)]
    common: CommonArgs,
}

#[test]
fn the_command_line_is_sound_and_its_help_has_a_heading() {
    Cli::command().debug_assert();
    let help = Cli::try_parse_from(["shoal-example", "run", "--help"])
        .unwrap_err()
        .to_string();
    let (own, common) = help.split_once("Options of every command:").unwrap();
    assert!(own.contains("--once") && !own.contains("--config"), "{help}");
    for option in [
        "--config <FILE>",
        "--data-dir <DIR>",
        "--set <KEY=VALUE>",
        "--output",
        "-v",
        "-q",
        "csv",
    ] {
        assert!(common.contains(option), "{option}\n{help}");
    }
    assert!(
        own.starts_with("Stay up\n"),
        "a flattened struct speaks for nobody\n{help}"
    );
}

#[test]
fn options_stand_before_and_behind_the_command() {
    let cli = Cli::parse_from(["e", "-o", "csv", "run", "--once", "--set", "a.b = c=d ", "-vv"]);
    assert_eq!(cli.common.output, RowOutput::Csv);
    let overrides = cli.common.overrides();
    assert_eq!(
        (overrides[0].key.as_ref(), overrides[0].value.as_str()),
        ("a.b", " c=d ")
    );
    assert_eq!(cli.common.level("info"), "trace");
    assert!(matches!(cli.command, Command::Run { once: true }));
    assert_eq!(Plain::parse_from(["e"]).common.output, Output::Table);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (args, expected) in [
        (
            &["e", "--set", "a"][..],
            "expected KEY=VALUE, such as logging.level=debug",
        ),
        (&["e", "--set", "=b"], "expected KEY=VALUE"),
        (&["e", "-v", "-q"], "cannot be used with"),
        (&["e", "-o", "csv"], "[possible values: table, json, jsonl]"),
    ] {
        let error = Plain::try_parse_from(args).unwrap_err().to_string();
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

/// Whether `program` is there; says so where it is not, for then its part of a test proves nothing.
fn has(program: &str) -> bool {
    let found = Process::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        eprintln!("skipped: no {program} on this machine");
    }
    found.is_ok()
}

#[test]
fn bash_takes_the_script_and_completes_commands_options_and_values() {
    let mut script = Vec::new();
    completions(Cli::command(), Shell::Bash, &mut script).unwrap();
    if !has("bash") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    fs::write(&path, &script).unwrap();
    let checked = Process::new("bash").arg("-n").arg(&path).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let completed = |words: &[&str]| {
        let run = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                   \"$(complete -p shoal-example | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')\" \
                   shoal-example \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                   printf '%s\\n' \"${COMPREPLY[@]}\"";
        let output = Process::new("bash")
            .args(["--norc", "--noprofile", "-c", run])
            .arg(&path)
            .args(words)
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["shoal-example", "ru"]), ["run"]);
    assert_eq!(completed(&["shoal-example", "run", "--on"]), ["--once"]);
    assert_eq!(completed(&["shoal-example", "run", "--data"]), ["--data-dir"]);
    assert_eq!(completed(&["shoal-example", "state", "ch"]), ["check"]);
    assert_eq!(completed(&["shoal-example", "--output", "js"]), ["json", "jsonl"]);
}

#[test]
fn every_shell_has_a_script() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
        let mut script = Vec::new();
        completions(Cli::command(), shell, &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("shoal-example") && script.contains("once"), "{shell}");
    }
}

#[test]
fn every_command_has_a_page_that_groff_reads_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let written = ManArgs {
        dir: Some(pages.clone()),
    }
    .run(Cli::command())
    .unwrap();
    let mut names: Vec<_> = written
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    names.sort_unstable();
    let expected = [
        "shoal-example-completions.1",
        "shoal-example-config-check.1",
        "shoal-example-config-init.1",
        "shoal-example-config-schema.1",
        "shoal-example-config-show.1",
        "shoal-example-config.1",
        "shoal-example-man.1",
        "shoal-example-run.1",
        "shoal-example-state-check.1",
        "shoal-example-state.1",
        "shoal-example.1",
    ];
    assert_eq!(names, expected);
    let mut top = Vec::new();
    man(Cli::command(), &mut top).unwrap();
    assert!(String::from_utf8(top).unwrap().contains("An example"));
    if !has("groff") {
        return;
    }
    for page in &written {
        let output = Process::new("groff")
            .args(["-man", "-Tascii", "-ww"])
            .arg(page)
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{page:?}: {output:?}"
        );
    }
    let output = Process::new("groff")
        .args(["-man", "-Tascii", "-P-cbou"])
        .arg(pages.join("shoal-example-run.1"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("--once") && text.contains("Stay up"), "{text}");
    assert!(
        text.contains("--config"),
        "the options of every command are there too\n{text}"
    );
}
