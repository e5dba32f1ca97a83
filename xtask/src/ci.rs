//! `cargo xtask ci`: what a change must pass, here and on the hosted runners alike.
use crate::{demo, process, setup, test, tidy};
use anyhow::{Result, bail};
use std::{process::Command, time::Instant};

/// How a step ended that did not fail.
enum Done {
    Passed,
    /// It was not done, and why.
    Skipped(&'static str),
}

type Step = (&'static str, fn() -> Result<Done>);

const STEPS: [Step; 9] = [
    ("setup", || passed(setup::run(&setup::Args::default()))),
    ("format", || {
        passed(process::run(process::cargo(&["fmt", "--all", "--check"])))
    }),
    ("layout", || passed(tidy::run())),
    ("lints", || {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ];
        passed(process::run(process::cargo(&args)))
    }),
    ("tests", || passed(test::run(&test::Args::default()))),
    ("docs", || {
        let mut command = process::cargo(&["doc", "--workspace", "--no-deps"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        passed(process::run(command))
    }),
    ("dependencies", dependencies),
    ("windows", windows),
    ("demo", || passed(demo::once())),
];

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let mut summary = Vec::new();
    let mut failed = 0;
    for (name, step) in STEPS {
        eprintln!("\n== {name}");
        let began = Instant::now();
        let outcome = step();
        let seconds = began.elapsed().as_secs_f64();
        let (word, note) = match outcome {
            Ok(Done::Passed) => ("passed", ""),
            Ok(Done::Skipped(why)) => ("SKIPPED", why),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed += 1;
                ("FAILED", "")
            }
        };
        summary.push(
            format!("{name:13} {word:7} {seconds:6.0} s  {note}")
                .trim_end()
                .to_owned(),
        );
    }
    println!("\n{}", summary.join("\n"));
    println!("{:13} {:7} {:6.0} s", "all", "", started.elapsed().as_secs_f64());
    if failed > 0 {
        bail!("{failed} of {} steps failed", STEPS.len());
    }
    Ok(())
}

fn passed(outcome: Result<()>) -> Result<Done> {
    outcome.map(|()| Done::Passed)
}

/// Bans, licences and sources. Advisories need a database from the network and belong to the hosted workflow.
fn dependencies() -> Result<Done> {
    if !process::have("cargo-deny") {
        return Ok(Done::Skipped(
            "cargo-deny is not there (cargo install --locked cargo-deny)",
        ));
    }
    passed(process::run(process::cargo(&[
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ])))
}

/// Crates that no C compiler for Windows is needed for.
const PORTABLE: [&str; 4] = ["core-model", "conf", "fleet-wire", "fsscan"];

/// The types of the portable crates, for Windows.
fn windows() -> Result<Done> {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "list", "--installed"]);
    let installed = if process::have("rustup") {
        process::output(rustup)?
    } else {
        String::new()
    };
    let Some(target) = installed.lines().find(|target| target.contains("-pc-windows-")) else {
        return Ok(Done::Skipped(
            "no Windows target is installed (rustup target add x86_64-pc-windows-gnu)",
        ));
    };
    let mut command = process::cargo(&["check", "--target", target]);
    command.args(PORTABLE.iter().flat_map(|name| ["-p", name]));
    passed(process::run(command))
}
