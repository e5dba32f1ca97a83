//! `check tcp`.
use super::{
    many::{self, Shown},
    show::{millis, result},
    targets,
};
use crate::{
    cli::{CommonArgs, TargetArgs},
    seconds::seconds,
};
use clap::Args;
use core_model::Period;
use daemon_kit::{Exit, cli::Output};
use netcheck::{
    Failure,
    tcp::{self, TcpOptions, TcpReport},
};
use std::time::Duration;

/// Whether ports take connections.
#[derive(Clone, Debug, Args)]
pub(crate) struct TcpArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// How long one address of a name has for itself before the next is tried beside it (RFC 8305).
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = seconds)]
    attempt_delay: Period,
    /// Hang up with a reset: a target that is checked often keeps no closed connections.
    #[arg(long)]
    reset: bool,
}

impl Shown for TcpReport {
    const HEADINGS: &'static [&'static str] = &["TARGET", "ADDRESS", "RESULT", "DNS", "CONNECT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.target.clone(),
            self.address
                .map_or_else(|| "-".to_owned(), |address| address.to_string()),
            self.result(),
            millis(self.dns),
            millis(self.connect),
        ]
    }

    fn result(&self) -> String {
        result("connected", self.failure.as_ref())
    }

    fn took(&self) -> Option<Duration> {
        self.connect
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

pub(crate) async fn run(args: &TcpArgs, output: Output) -> anyhow::Result<Exit> {
    let options = &TcpOptions {
        family: args.targets.family.get(),
        source: args.common.source,
        timeout: args.common.timeout.get(),
        attempt_delay: args.attempt_delay.get(),
        reset: args.reset,
        ..TcpOptions::default()
    };
    let targets = targets::names(&args.targets)?;
    many::run(&targets, &args.common, output, |target| async move {
        tcp::check(&target, options).await
    })
    .await
}
