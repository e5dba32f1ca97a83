//! `check tls`.
use super::{
    many::{self, Shown},
    show::{millis, result},
    targets,
};
use crate::cli::{CommonArgs, TargetArgs, TrustArgs};
use clap::{Args, ValueEnum};
use core_model::Period;
use daemon_kit::{Exit, cli::Output};
use netcheck::{
    Failure,
    tls::{self, SessionOptions, StartTls, TlsOptions, TlsReport},
};
use std::time::Duration;

/// What a server says in a handshake, and how long its certificate is good.
#[derive(Clone, Debug, Args)]
pub(crate) struct TlsArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// The name that is asked for, and that the certificate has to have [default: that of the target].
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// A certificate that ends sooner than this is a failure; with a unit, such as 30d.
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub(crate) expires_within: Period,
    /// Protocols to offer (ALPN), such as h2; may be given again.
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Vec<String>,
    /// Speak this protocol first, and begin TLS by its own command.
    #[arg(long, value_name = "PROTOCOL", value_enum)]
    starttls: Option<Before>,
}

/// A protocol that begins in the clear.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Before {
    Smtp,
    Imap,
    Pop3,
    Ftp,
    Postgres,
}

impl From<Before> for StartTls {
    fn from(before: Before) -> Self {
        match before {
            Before::Smtp => Self::Smtp,
            Before::Imap => Self::Imap,
            Before::Pop3 => Self::Pop3,
            Before::Ftp => Self::Ftp,
            Before::Postgres => Self::Postgres,
        }
    }
}

impl Shown for TlsReport {
    const HEADINGS: &'static [&'static str] =
        &["TARGET", "RESULT", "CONNECT", "HANDSHAKE", "VERSION", "DAYS", "ISSUER"];

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let session = self.tls.as_deref();
        let issuer = session
            .and_then(|session| session.chain.first())
            .map(|leaf| leaf.issuer.clone());
        vec![
            self.target.clone(),
            self.result(),
            millis(self.connect),
            millis(self.handshake),
            session.and_then(|session| session.version).unwrap_or("-").to_owned(),
            session
                .and_then(|session| session.days_left)
                .map_or_else(dash, |days| days.to_string()),
            issuer.unwrap_or_else(dash),
        ]
    }

    fn result(&self) -> String {
        result("trusted", self.failure.as_ref())
    }

    fn took(&self) -> Option<Duration> {
        self.handshake
    }

    fn days(&self) -> Option<i64> {
        self.tls.as_deref()?.days_left
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

pub(crate) async fn run(args: &TlsArgs, output: Output) -> anyhow::Result<Exit> {
    let options = &TlsOptions {
        timeout: args.common.timeout.get(),
        family: args.targets.family.get(),
        source: args.common.source,
        session: SessionOptions {
            server_name: args.server_name.clone(),
            ..args.trust.session()?
        },
        expires_within: args.expires_within.get(),
        alpn: args.alpn.clone(),
        start_tls: args.starttls.map(StartTls::from),
        ..TlsOptions::default()
    };
    let targets = targets::names(&args.targets)?;
    tls::load_system_roots().await;
    many::run(&targets, &args.common, output, |target| async move {
        tls::check(&target, options).await
    })
    .await
}
