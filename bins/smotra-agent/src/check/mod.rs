//! `check`: targets are checked now.
pub(crate) mod dns;
pub(crate) mod http;
mod many;
pub(crate) mod ping;
mod repeat;
mod show;
mod targets;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod trace;
pub(crate) mod udp;

pub(crate) use show::percent;

use crate::cli::CheckCommand;
use anyhow::Context as _;
use daemon_kit::{Exit, cli::Output};
use netcheck::Failure;
use std::{fs, future::Future, path::Path};

pub(crate) fn run(command: &CheckCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        CheckCommand::Ping(args) => block_on(ping::run(args, output)),
        CheckCommand::Trace(args) => block_on(trace::run(args, output)),
        CheckCommand::Tcp(args) => block_on(tcp::run(args, output)),
        CheckCommand::Udp(args) => block_on(udp::run(args, output)),
        CheckCommand::Http(args) => block_on(http::run(args, output)),
        CheckCommand::Dns(args) => block_on(dns::run(args, output)),
        CheckCommand::Tls(args) => block_on(tls::run(args, output)),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // The system's resolver may go on for long where nobody waits for it any more.
    runtime.shutdown_background();
    done
}

/// A file that an option names.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("could not read {}", file.display()))
}

/// Why what goes on cannot be shown so.
pub(crate) fn live_mistake(output: Output) -> Option<&'static str> {
    (output == Output::Json)
        .then_some("`--live` tells one thing after the other: for programs that is `--output jsonl`")
}

/// What came of all: a target that is not well matters more than one that could not be checked.
pub(crate) fn exit<'f>(failures: impl IntoIterator<Item = &'f Failure>) -> Exit {
    let mut exit = Exit::Done;
    for failure in failures {
        if !failure.kind.is_own() {
            return Exit::Findings;
        }
        exit = Exit::Environment;
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck::FailureKind;

    #[test]
    fn a_target_that_is_not_well_is_a_finding_and_one_that_could_not_be_checked_is_none() {
        let of = |kind| Failure::new(kind, "");
        let (own, refused) = (of(FailureKind::Permission), of(FailureKind::Refused));
        assert_eq!(exit([]), Exit::Done);
        assert_eq!(exit([&own]), Exit::Environment);
        assert_eq!(exit([&own, &refused]), Exit::Findings);
    }
}
