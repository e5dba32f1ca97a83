//! `check dns`.
use super::{
    many::{self, Shown},
    show::{millis, result},
    targets,
};
use crate::cli::{CommonArgs, FamilyArgs};
use clap::Args;
use daemon_kit::{Exit, cli::Output};
use netcheck::{
    Failure,
    dns::{self, DnsExpect, DnsOptions, DnsReport, RecordType, ResponseCode, Transport},
};
use std::{path::PathBuf, time::Duration};

/// What a name server answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct DnsArgs {
    /// Names to ask about, or addresses with `--type PTR`.
    #[arg(value_name = "NAME", required_unless_present = "file")]
    names: Vec<String>,
    /// Read more names from a file, one a line; `-` for standard input. What follows a `#` is left out.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    family: FamilyArgs,
    /// Which records are asked for; `-4` and `-6` are about the way to the server, and not about these.
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "A")]
    record_type: RecordType,
    /// Whom to ask: an address, with or without a port [default: those of this machine].
    #[arg(short, long, value_name = "SERVER")]
    server: Option<String>,
    /// Ask over TCP at once.
    #[arg(long)]
    tcp: bool,
    /// How often each server is asked at the most, all of them before the first is asked again; each loss is counted.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: u32,
    /// Do not have the server ask others.
    #[arg(long)]
    no_recursion: bool,
    /// Have the server verify signatures, which it has to have done.
    #[arg(long)]
    dnssec: bool,
    /// What the server has to say, such as NXDOMAIN.
    #[arg(long, value_name = "CODE", default_value = "NOERROR")]
    expect_code: ResponseCode,
    /// How many records there have to be.
    #[arg(long, value_name = "N", default_value_t = 1)]
    at_least: usize,
    /// Data that has to be among the answers, each as it is shown: `192.0.2.1`, or `10 mail.example.` of MX; may be given again.
    #[arg(long, value_name = "DATA")]
    contains: Vec<String>,
    /// All of the data, in any order; may be given again.
    #[arg(long, value_name = "DATA")]
    equals: Vec<String>,
}

impl Shown for DnsReport {
    const HEADINGS: &'static [&'static str] = &["NAME", "TYPE", "RESULT", "SERVER", "TIME", "ANSWERS"];

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let answers: Vec<&str> = self.answers.iter().map(|answer| answer.data.as_str()).collect();
        vec![
            self.name.clone(),
            self.record_type.to_string(),
            self.result(),
            self.server.map_or_else(dash, |server| server.to_string()),
            millis(self.time),
            if answers.is_empty() { dash() } else { answers.join(", ") },
        ]
    }

    fn remarks(&self) -> Vec<String> {
        let refused = self.edns_refused.iter();
        refused
            .map(|code| {
                format!(
                    "{}: the server answered {code} to a query with EDNS, and was asked without",
                    self.name
                )
            })
            .collect()
    }

    fn result(&self) -> String {
        self.response_code
            .filter(|_| self.failure.is_none())
            .map_or_else(|| result("answered", self.failure.as_ref()), |code| code.to_string())
    }

    fn took(&self) -> Option<Duration> {
        self.time
    }

    fn target(&self) -> &str {
        &self.name
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

pub(crate) async fn run(args: &DnsArgs, output: Output) -> anyhow::Result<Exit> {
    let options = &DnsOptions {
        record_type: args.record_type,
        server: args.server.clone(),
        family: args.family.get(),
        source: args.common.source,
        transport: if args.tcp { Transport::Tcp } else { Transport::Udp },
        timeout: args.common.timeout.get(),
        attempts: args.attempts,
        recursion: !args.no_recursion,
        dnssec: args.dnssec,
        expect: DnsExpect {
            response_code: args.expect_code,
            at_least: args.at_least,
            contains: args.contains.clone(),
            equals: (!args.equals.is_empty()).then(|| args.equals.clone()),
            authentic: args.dnssec,
            ..DnsExpect::default()
        },
        ..DnsOptions::default()
    };
    let names = targets::listed(&args.names, args.file.as_deref())?;
    many::run(&names, &args.common, output, |name| async move {
        dns::check(&name, options).await
    })
    .await
}
