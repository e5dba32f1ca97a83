//! `check udp`.
use super::{
    many::{self, Shown},
    show::{millis, result},
    targets,
};
use crate::cli::{CommonArgs, TargetArgs};
use clap::Args;
use daemon_kit::{Exit, cli::Output};
use netcheck::{
    Failure,
    udp::{self, Expect, Probe, UdpOptions, UdpReport, UdpState},
};
use std::time::Duration;

/// Whether a service answers by UDP.
#[derive(Clone, Debug, Args)]
pub(crate) struct UdpArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// What is sent: `dns`, `dns:NAME`, `ntp`, `echo`, `echo:SIZE`, or bytes of your own: `bytes:TEXT`, `hex:00ff`.
    #[arg(short, long, value_name = "PROBE", default_value = "bytes:")]
    probe: Probe,
    /// What a reply to bytes of your own shall be: `any`, `exact:TEXT`, `prefix:TEXT`, `contains:TEXT`, each also with `hex:` before
    /// the bytes.
    #[arg(short, long, value_name = "EXPECTED")]
    expect: Option<Expect>,
    /// How often it is sent at the most, until it is answered; each loss is counted.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: u32,
}

impl Shown for UdpReport {
    const HEADINGS: &'static [&'static str] = &["TARGET", "ADDRESS", "RESULT", "DNS", "TIME", "SENT", "REPLY"];

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let time = self.ntp.as_ref().map(|ntp| match &ntp.kiss {
            Some(kiss) => format!("stratum 0 {kiss}").trim_end().to_owned(),
            None => format!("stratum {}", ntp.stratum),
        });
        vec![
            self.target.clone(),
            self.address.map_or_else(dash, |address| address.to_string()),
            self.result(),
            millis(self.dns),
            millis(self.time),
            self.sent.to_string(),
            time.or_else(|| self.reply_size.map(|size| format!("{size} B")))
                .unwrap_or_else(dash),
        ]
    }

    fn remarks(&self) -> Vec<String> {
        let silent = self.state == UdpState::OpenOrSilent;
        let remark = format!(
            "{}: nothing came back, and nothing had to: say what is expected (--expect)",
            self.target
        );
        let mut passed = Vec::new();
        for attempt in &self.attempts {
            let failure = attempt
                .failure
                .as_ref()
                .filter(|_| Some(attempt.address) != self.address);
            let remark = failure.map(|failure| format!("{}: not by {}: {failure}", self.target, attempt.address.ip()));
            passed.extend(remark.filter(|remark| passed.last() != Some(remark)));
        }
        passed.into_iter().chain(silent.then_some(remark)).collect()
    }

    fn result(&self) -> String {
        let well = match (self.state, self.response_code) {
            (_, Some(code)) => return format!("answered {code}"),
            (UdpState::OpenOrSilent, None) => "open or silent",
            _ => "answered",
        };
        result(well, self.failure.as_ref())
    }

    fn took(&self) -> Option<Duration> {
        self.time
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

pub(crate) async fn run(args: &UdpArgs, output: Output) -> anyhow::Result<Exit> {
    let probe = match (args.probe.clone(), args.expect.clone()) {
        (Probe::Bytes { payload, .. }, expect) => Probe::Bytes { payload, expect },
        (_, Some(_)) => anyhow::bail!("--expect is for bytes of your own: a named protocol has its own reply"),
        (probe, None) => probe,
    };
    let options = &UdpOptions {
        probe,
        family: args.targets.family.get(),
        source: args.common.source,
        timeout: args.common.timeout.get(),
        attempts: args.attempts,
        ..UdpOptions::default()
    };
    let targets = targets::names(&args.targets)?;
    many::run(&targets, &args.common, output, |target| async move {
        udp::check(&target, options).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck::{FailureKind, udp::UdpAttempt};
    use std::time::Duration;

    #[test]
    fn an_address_that_was_passed_over_is_told_once() {
        let attempt = |address: &str, failure| UdpAttempt {
            address: address.parse().unwrap(),
            took: Duration::ZERO,
            answered: false,
            failure,
        };
        let unreachable = || attempt("[2001:db8::1]:53", Some(Failure::new(FailureKind::NoRoute, "no route")));
        let report = UdpReport {
            target: "a.test:53".to_owned(),
            state: UdpState::Answered,
            address: Some("192.0.2.1:53".parse().unwrap()),
            found: 2,
            local: None,
            dns: None,
            time: None,
            total: Duration::ZERO,
            sent: 1,
            lost: Some(1),
            foreign: 0,
            attempts: vec![
                unreachable(),
                unreachable(),
                attempt("192.0.2.1:53", Some(Failure::new(FailureKind::TimedOut, "silent"))),
                attempt("192.0.2.1:53", None),
            ],
            reply_size: None,
            reply: None,
            response_code: None,
            ntp: None,
            failure: None,
        };
        assert_eq!(report.remarks(), ["a.test:53: not by 2001:db8::1: no route"]);
    }
}
