//! `cargo xtask test`: every test of the workspace.
use crate::{process, setup};
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Passed on to `cargo test`, such as `-p conf`; without it the whole workspace is tested.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::run(&setup::Args::default())?;
    // Tests of one package run programs of another, which cargo alone does not build for them.
    let programs = process::build_programs("dev")?;
    let mut command = process::cargo(&["test", "--no-fail-fast"]);
    if args.rest.is_empty() {
        command.arg("--workspace");
    }
    command
        .args(&args.rest)
        .env("SHOAL_BIN_DIR", programs)
        .stdout(Stdio::piped());
    let shown = process::shown(&command);
    let mut child = command.spawn().with_context(|| format!("could not start {shown}"))?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("could not read what the tests print")?;
            totals.add(&String::from_utf8_lossy(&line));
            let mut out = std::io::stdout().lock();
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
    }
    let status = child.wait().with_context(|| format!("could not wait for {shown}"))?;
    println!(
        "\nall tests: {} passed, {} failed, {} ignored",
        totals.passed, totals.failed, totals.ignored
    );
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}

/// Sums over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds a line such as `test result: ok. 6 passed; 0 failed; 0 ignored; …`; others say nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let number: u64 = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_summed() {
        let mut totals = Totals::default();
        for line in [
            "running 6 tests",
            "test result: ok. 6 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.04s",
            "test tests::a_test ... FAILED",
            "test result: FAILED. 8 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.77s",
        ] {
            totals.add(line);
        }
        assert_eq!(
            totals,
            Totals {
                passed: 14,
                failed: 1,
                ignored: 1
            }
        );
    }
}
