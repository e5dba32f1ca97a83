//! `check http`.
use super::{
    many::{self, Shown},
    read,
    show::{millis, result},
    targets,
};
use crate::{
    cli::{CommonArgs, FamilyArgs, TrustArgs},
    seconds::seconds,
};
use anyhow::Context as _;
use clap::Args;
use core_model::{ByteSize, Period};
use daemon_kit::{Exit, cli::Output};
use netcheck::{
    Failure,
    http::{self, BodyCheck, HttpOptions, HttpReport, HttpVersion, StatusRange},
    tls,
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Whether a page is answered as it shall be.
#[derive(Clone, Debug, Args)]
pub(crate) struct HttpArgs {
    /// What to ask for: `https://example.org/health`.
    #[arg(value_name = "URL", required_unless_present = "file")]
    urls: Vec<String>,
    /// Read more URLs from a file, one a line; `-` for standard input. What follows a `#` is left out.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// GET, HEAD, POST, or another.
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header to send, `Name: value`; may be given again.
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// What to send.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// A status that is well, such as 200, 200-204 or 3xx; may be given again [default: 200-299].
    #[arg(short, long, value_name = "STATUS")]
    status: Vec<StatusRange>,
    /// Text that has to be in the answer; may be given again.
    #[arg(long, value_name = "TEXT")]
    contains: Vec<String>,
    /// Text that must not be in it; may be given again.
    #[arg(long, value_name = "TEXT")]
    contains_not: Vec<String>,
    /// So much of the answer is read.
    #[arg(long, value_name = "SIZE", default_value = "1MB")]
    max_body: ByteSize,
    /// How many redirects are followed.
    #[arg(long, value_name = "N", default_value_t = 10)]
    max_redirects: usize,
    /// How long the first byte of the answer may take.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    first_byte_timeout: Option<Period>,
    /// Connect to this address, whatever the URL says.
    #[arg(long, value_name = "ADDRESS")]
    connect_to: Option<SocketAddr>,
    /// HTTP/1.1 alone.
    #[arg(long)]
    http1: bool,
    /// HTTP/2 alone.
    #[arg(long, conflicts_with = "http1")]
    http2: bool,
    #[command(flatten)]
    family: FamilyArgs,
    /// Ask a server whose certificate is wrong all the same; what is wrong with it is told in JSON, and no failure.
    #[arg(long)]
    insecure: bool,
    /// A certificate that has ended, or ends sooner than this, is a failure, also with `--insecure`; with a unit, such as 30d
    /// [default: 14d, with `--insecure` none].
    #[arg(long, value_name = "TIME")]
    expires_within: Option<Period>,
}

impl Shown for HttpReport {
    const HEADINGS: &'static [&'static str] = &[
        "URL",
        "RESULT",
        "STATUS",
        "DNS",
        "CONNECT",
        "TLS",
        "FIRST BYTE",
        "TOTAL",
        "BYTES",
        "DAYS",
    ];

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let days = self.tls.as_deref().and_then(|session| session.days_left);
        vec![
            self.url.clone(),
            self.result(),
            self.status.map_or_else(dash, |status| status.to_string()),
            millis(self.times.dns),
            millis(self.times.connect),
            millis(self.times.tls),
            millis(self.times.first_byte),
            millis(Some(self.total)),
            self.body_bytes.to_string(),
            days.map_or_else(dash, |days| days.to_string()),
        ]
    }

    fn remarks(&self) -> Vec<String> {
        let hops = self.redirects.iter();
        let hops = hops.map(|hop| format!("{} answered {} and sent on", hop.url, hop.status));
        // What is wrong with a certificate is a failure, or was not to be one.
        let session = self.tls.as_deref().filter(|_| self.failure.is_none());
        let findings = session.into_iter().flat_map(|session| &session.findings);
        hops.chain(findings.map(|finding| format!("{}: {}", self.url, finding.detail)))
            .collect()
    }

    fn result(&self) -> String {
        result("ok", self.failure.as_ref())
    }

    fn took(&self) -> Option<Duration> {
        Some(self.total)
    }

    fn days(&self) -> Option<i64> {
        self.tls.as_deref()?.days_left
    }

    fn target(&self) -> &str {
        &self.url
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

pub(crate) async fn run(args: &HttpArgs, output: Output) -> anyhow::Result<Exit> {
    let options = &args.options()?;
    tls::load_system_roots().await;
    let urls = targets::listed(&args.urls, args.file.as_deref())?;
    many::run(&urls, &args.common, output, |url| async move {
        http::check(&url, options).await
    })
    .await
}

impl HttpArgs {
    pub(crate) fn expires_within(&self) -> Duration {
        let usual = if self.insecure {
            Duration::ZERO
        } else {
            HttpOptions::default().expires_within
        };
        self.expires_within.map_or(usual, Period::get)
    }

    fn options(&self) -> anyhow::Result<HttpOptions> {
        let contains = self.contains.iter().cloned().map(BodyCheck::Contains);
        let contains_not = self.contains_not.iter().cloned().map(BodyCheck::ContainsNot);
        let mut options = HttpOptions {
            method: self
                .method
                .parse()
                .with_context(|| format!("`{}` is no method of HTTP", self.method))?,
            version: match (self.http1, self.http2) {
                (true, _) => HttpVersion::Http1,
                (_, true) => HttpVersion::Http2,
                _ => HttpVersion::Auto,
            },
            family: self.family.get(),
            source: self.common.source,
            connect_to: self.connect_to,
            timeout: self.common.timeout.get(),
            first_byte_timeout: self.first_byte_timeout.map(Period::get),
            max_redirects: self.max_redirects,
            max_body: usize::try_from(self.max_body.bytes()).unwrap_or(usize::MAX),
            body_checks: contains.chain(contains_not).collect(),
            tls: self.trust.session()?,
            expires_within: self.expires_within(),
            accept_invalid_certificates: self.insecure,
            ..HttpOptions::default()
        };
        if !self.status.is_empty() {
            options.expected_status.clone_from(&self.status);
        }
        if let Some(body) = &self.body {
            options.body = body.clone().into();
        }
        if let Some(file) = &self.body_file {
            options.body = read(file)?.into();
        }
        for header in &self.header {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("`{header}` is no header: write `Name: value`"))?;
            options.add_header(name.trim(), value.trim())?;
        }
        Ok(options)
    }
}
