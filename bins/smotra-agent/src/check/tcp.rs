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

    fn remarks(&self) -> Vec<String> {
        // Of a single attempt the failure of the check tells all.
        let several = Some(&self.attempts).filter(|attempts| attempts.len() > 1);
        let failed = several.into_iter().flatten().filter_map(|attempt| {
            let why = result("", Some(attempt.failure.as_ref()?));
            let (target, address, took) = (&self.target, attempt.address, millis(Some(attempt.took)));
            Some(format!("{target}: not by {address}: {why} after {took} ms"))
        });
        failed.collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck::{
        FailureKind,
        tcp::{TcpAttempt, TcpOutcome},
    };

    #[test]
    fn each_address_of_several_that_failed_is_told_with_its_reason() {
        let attempt = |address: &str, outcome, kind: Option<FailureKind>| TcpAttempt {
            address: address.parse().unwrap(),
            begun: Duration::ZERO,
            took: Duration::from_micros(1500),
            outcome,
            failure: kind.map(|kind| Failure::new(kind, "")),
        };
        let mut report = TcpReport {
            target: "a.test:80".to_owned(),
            address: Some("192.0.2.1:80".parse().unwrap()),
            local: None,
            dns: None,
            connect: None,
            total: Duration::ZERO,
            found: 3,
            attempts: vec![
                attempt("[2001:db8::1]:80", TcpOutcome::Failed, Some(FailureKind::NoRoute)),
                attempt("[2001:db8::2]:80", TcpOutcome::Overtaken, None),
                attempt("192.0.2.1:80", TcpOutcome::Connected, None),
            ],
            failure: None,
        };
        let remarks = report.remarks();
        assert_eq!(remarks, ["a.test:80: not by [2001:db8::1]:80: no route after 1.500 ms"]);
        report.attempts.truncate(1);
        assert!(report.remarks().is_empty(), "the failure of the check tells it");
    }
}
