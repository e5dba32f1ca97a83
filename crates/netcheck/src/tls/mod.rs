//! Handshakes, and what the certificate of a server says.
//!
//! A certificate that has ended, that does not hold yet, that nobody trusted has issued, that the server issued itself
//! or that holds for other names: each is a [`Finding`] of its own, with the dates and names it is about, and the rest
//! of the report is there all the same. A server that speaks something else is told from one that hangs up and from one
//! that says nothing.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use netcheck::{FailureKind, tls::{self, TlsOptions}};
//! use std::time::Duration;
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let target = listener.local_addr()?.to_string();
//! # drop(listener);
//!
//! let options = TlsOptions { timeout: Duration::from_secs(5), ..TlsOptions::default() };
//! let report = tls::check(&target, &options).await;
//! match &report.failure {
//!     None => println!("{:?} days left", report.tls.and_then(|tls| tls.days_left)),
//!     Some(failure) => println!("{failure}: {}", failure.remedy()),
//! }
//! # assert_eq!(report.failure.unwrap().kind, FailureKind::Refused, "nobody listens there");
//! # Ok::<(), std::io::Error>(()) }).unwrap();
//! ```
mod certificate;
mod date;
pub(crate) mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub(crate) mod plain;
mod recorder;
mod roots;
pub(crate) mod session;
mod starttls;
mod verdict;
pub(crate) mod watched;

pub use certificate::Certificate;
#[cfg(feature = "http")]
pub(crate) use certificate::hexadecimal;
pub use roots::{ClientIdentity, Roots, load_system_roots};
pub use session::{SessionOptions, TlsSession, TlsVersion};
pub use starttls::StartTls;
pub use verdict::{Finding, FindingKind};

use crate::{
    Failure, FailureKind, Family,
    dial::{Clock, NotDialled, dial},
    source::Way,
    target::Target,
};
use session::Opening;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

/// As long certificates have to hold on where nothing else is asked for.
pub(crate) const EXPIRES_WITHIN: Duration = Duration::from_secs(14 * 86_400);

/// How the TLS of a server is checked.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// How long the whole check may take; 10 s by default, more than none, to an hour.
    pub timeout: Duration,
    /// How long the connection may take; by default as long as there is.
    pub connect_timeout: Option<Duration>,
    /// How long the handshake may take; by default as long as there is.
    pub handshake_timeout: Option<Duration>,
    /// Which addresses of the target serve.
    pub family: Family,
    /// The address of this machine from which the connection begins; the one that its routes choose unless one is named. Only addresses of
    /// the same family are asked then.
    pub source: Option<IpAddr>,
    /// How the session is opened, and who is trusted.
    pub session: SessionOptions,
    /// As long the certificates that are needed have to hold on; one that ends sooner is a failure. 14 days by default;
    /// zero: until now.
    pub expires_within: Duration,
    /// The protocols that are offered (ALPN), such as `h2`, the one that is wanted most first; none by default.
    pub alpn: Vec<String>,
    /// The protocol by which the connection begins; by default it begins with TLS.
    pub start_tls: Option<StartTls>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: None,
            handshake_timeout: None,
            family: Family::default(),
            source: None,
            session: SessionOptions::default(),
            expires_within: EXPIRES_WITHIN,
            alpn: Vec::new(),
            start_tls: None,
        }
    }
}

/// What came of a check.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TlsReport {
    /// What was asked for.
    pub target: String,
    /// The address that took the connection.
    pub address: Option<SocketAddr>,
    /// How long the name took; nothing for an address.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "dns_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub dns: Option<Duration>,
    /// How long the connection took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "connect_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub connect: Option<Duration>,
    /// How long it took until the server agreed to TLS, where the connection began without.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "start_tls_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub start_tls: Option<Duration>,
    /// How long the handshake took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "handshake_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub handshake: Option<Duration>,
    /// How long all of it took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "total_ms", serialize_with = "crate::millis::serialize")
    )]
    pub total: Duration,
    /// What is known of the session, also where none came about.
    pub tls: Option<Box<TlsSession>>,
    /// Why there is no session, or not one to be trusted.
    pub failure: Option<Failure>,
}

/// Shakes hands with `target`, a host or an address with or without a port (443 by default, or that of the protocol by
/// which the connection begins).
pub async fn check(target: &str, options: &TlsOptions) -> TlsReport {
    if options.session.system_roots {
        // What is read once in a process is not measured.
        roots::system().await;
    }
    let clock = Clock::start(options.timeout);
    let mut report = TlsReport {
        target: target.to_owned(),
        ..TlsReport::default()
    };
    let checked = handshake(target, options, &clock, &mut report).await;
    report.failure = checked
        .err()
        .or_else(|| report.tls.as_ref().and_then(|tls| tls.failure()));
    report
}

async fn handshake(target: &str, options: &TlsOptions, clock: &Clock, report: &mut TlsReport) -> Result<(), Failure> {
    let done = connect(target, options, clock, report).await;
    report.total = clock.took();
    let mut stream = done?;
    let limit = clock.limit(None).time;
    // The server is told that nothing more comes, so that its log does not call this an attack.
    let said = timeout(limit, stream.shutdown()).await;
    let was_asked = report.tls.as_ref().is_some_and(|tls| tls.client_certificate_asked);
    if was_asked && matches!(said, Ok(Ok(()))) {
        // In TLS 1.3 the client is the first to be done: what the server thinks of the client's certificate, or of
        // there being none, is its next word. One that has nothing to say ends the connection.
        let answer = timeout(limit, stream.read(&mut [0; 1])).await;
        let refused = answer.ok().and_then(Result::err);
        if let Some(cause) = refused.as_ref().and_then(error::tls_cause) {
            return Err(error::of_tls(cause, &[]));
        }
    }
    Ok(())
}

type Stream = tokio_rustls::client::TlsStream<watched::Watched<tokio::net::TcpStream>>;

async fn connect(target: &str, options: &TlsOptions, clock: &Clock, report: &mut TlsReport) -> Result<Stream, Failure> {
    clock.check()?;
    let (host, port) = Target::with_port(target, Some(options.start_tls.map_or(443, StartTls::port)))?;
    let own = host.to_string();
    let name = session::server_name(options.session.server_name.as_deref().unwrap_or(&own))?;
    let way = Way {
        family: options.family,
        source: options.source,
    };
    let dialled = dial(host, port, way, clock, (None, options.connect_timeout)).await;
    let dialled = dialled.map_err(|NotDialled { failure, dns }| {
        report.dns = dns;
        failure
    })?;
    (report.address, report.dns, report.connect) = (Some(dialled.peer), dialled.dns, Some(dialled.connect));
    let mut stream = dialled.stream;
    if let Some(protocol) = options.start_tls {
        let (since, limit) = (Instant::now(), clock.limit(None));
        let agreed = timeout(limit.time, starttls::negotiate(&mut stream, protocol)).await;
        agreed.map_err(|_| {
            let detail = format!("the server did not go over from {} to TLS {limit}", protocol.name());
            Failure::new(FailureKind::TimedOut, detail)
        })??;
        report.start_tls = Some(since.elapsed());
    }
    let opening = Opening {
        name,
        alpn: options
            .alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect(),
        options: &options.session,
        identity: options.session.identity.as_ref(),
        expires_within: options.expires_within,
        limit: clock.limit(options.handshake_timeout),
    };
    let opened = session::open(stream, opening).await;
    report.tls = Some(Box::new(opened.session));
    let stream = opened.stream?;
    report.handshake = Some(opened.took);
    Ok(stream)
}
