//! `cargo xtask ci`: what a change must pass, here and on the hosted runners alike.
use crate::{demo, process, setup, test, tidy};
use anyhow::{Result, bail};
use std::time::Instant;

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 8] = [
    ("setup", || {
        setup::run(&setup::Args {
            yes: true,
            ..setup::Args::default()
        })
    }),
    ("format", || process::run(process::cargo(&["fmt", "--all", "--check"]))),
    ("layout", tidy::run),
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
        process::run(process::cargo(&args))
    }),
    ("tests", || test::run(&test::Args::default())),
    ("docs", || {
        let mut command = process::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        process::run(command)
    }),
    ("dependencies", dependencies),
    ("demo", demo::once),
];

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let mut summary = Vec::new();
    let mut failed = 0;
    for (name, step) in STEPS {
        eprintln!("\n== {name}");
        let began = Instant::now();
        let outcome = step();
        if let Err(error) = &outcome {
            eprintln!("error: {error:#}");
            failed += 1;
        }
        let word = if outcome.is_ok() { "passed" } else { "FAILED" };
        summary.push(format!("{name:13} {word:7} {:6.0} s", began.elapsed().as_secs_f64()));
    }
    println!("\n{}", summary.join("\n"));
    println!("{:13} {:7} {:6.0} s", "all", "", started.elapsed().as_secs_f64());
    if failed > 0 {
        bail!("{failed} of {} steps failed", STEPS.len());
    }
    Ok(())
}

/// Bans, licences and sources. Advisories need a database from the network and belong to the hosted workflow.
fn dependencies() -> Result<()> {
    if !process::have("cargo-deny") {
        eprintln!("cargo-deny is not installed: dependencies were NOT checked (cargo install --locked cargo-deny)");
        return Ok(());
    }
    process::run(process::cargo(&[
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
