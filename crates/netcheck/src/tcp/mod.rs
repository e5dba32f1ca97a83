//! TCP: whether somebody accepts a connection, how long the name and the handshake took, and which address answered.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use netcheck::{FailureKind, tcp::{self, TcpOptions}};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let target = listener.local_addr()?.to_string();
//! let report = tcp::check(&target, &TcpOptions::default()).await;
//! assert!(report.failure.is_none() && report.connect.is_some());
//!
//! drop(listener);
//! let report = tcp::check(&target, &TcpOptions::default()).await;
//! assert_eq!(report.failure.unwrap().kind, FailureKind::Refused);
//! # Ok::<(), std::io::Error>(()) }).unwrap();
//! ```
mod connection;
mod race;

use crate::{Failure, FailureKind, Family, reach, source::Way, target::Target};
use connection::Connection;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, task::coop::consume_budget, time::Instant};

/// The shortest and the longest time between two attempts (RFC 8305, section 5).
const ATTEMPT_DELAYS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(2);

/// How a TCP connection is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Which addresses serve; any.
    pub family: Family,
    /// The address of this machine from which connections begin; the one that its routes choose unless one is named. Only addresses of
    /// the same family are asked then.
    pub source: Option<IpAddr>,
    /// Which family is tried first where a name has both; in the order of the system unless one is named.
    pub prefer: Family,
    /// How long all of it may take, the name included; 5 seconds, more than none, to an hour.
    pub timeout: Duration,
    /// How long one address is tried before the next is tried beside it (RFC 8305); 250 milliseconds, from 10
    /// milliseconds to 2 seconds.
    pub attempt_delay: Duration,
    /// How many addresses of a name are tried; 8, from 1.
    pub max_addresses: usize,
    /// Whether [`check`] ends the connection by a reset: nothing is left behind on either side then, where an orderly end
    /// keeps an entry of this machine for a minute (`TIME_WAIT`), but servers may log it. Not so.
    pub reset: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            family: Family::Any,
            source: None,
            prefer: Family::Any,
            timeout: Duration::from_secs(5),
            attempt_delay: Duration::from_millis(250),
            max_addresses: 8,
            reset: false,
        }
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TcpReport {
    /// What was to be checked, as it was given.
    pub target: String,
    /// The address that accepted; where none did, the one that the failure is about, if any was tried.
    pub address: Option<SocketAddr>,
    /// Our end of the connection.
    pub local: Option<SocketAddr>,
    /// How long it took to resolve the name; nothing for an address.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "dns_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub dns: Option<Duration>,
    /// How long the handshake with [`address`](Self::address) took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "connect_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub connect: Option<Duration>,
    /// How long all of it took, with the name and with the addresses that were tried before.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "total_ms", serialize_with = "crate::millis::serialize")
    )]
    pub total: Duration,
    /// How many addresses the name has; those above [`TcpOptions::max_addresses`] are not tried.
    pub found: usize,
    /// Each address that was tried, in the order in which they were.
    pub attempts: Vec<TcpAttempt>,
    /// Why there is no connection.
    pub failure: Option<Failure>,
}

/// What became of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TcpAttempt {
    /// The address.
    pub address: SocketAddr,
    /// When it was begun, since the name was resolved.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "begun_ms", serialize_with = "crate::millis::serialize")
    )]
    pub begun: Duration,
    /// How long it went on.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "took_ms", serialize_with = "crate::millis::serialize")
    )]
    pub took: Duration,
    /// How it ended.
    pub outcome: TcpOutcome,
    /// Why it failed, where it did.
    pub failure: Option<Failure>,
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum TcpOutcome {
    /// By a connection.
    Connected,
    /// By a failure.
    Failed,
    /// Another address was faster; it is not known how it would have ended.
    Overtaken,
}

/// Connects to `host:port`, and hangs up.
///
/// An address costs no more than its socket and one timer; only a name with more than one address is raced (RFC 8305:
/// families in turn, the first connection wins, the others are dropped).
pub async fn check(target: &str, options: &TcpOptions) -> TcpReport {
    let since = Instant::now();
    let mut report = TcpReport::new(target);
    let ended = match run(&mut report, options, since).await {
        Ok((_, connection)) if options.reset => {
            // It was connected all the same; what is left behind is what was not wanted.
            connection
                .reset()
                .map_err(|error| Failure::of_io("end the connection by a reset", &error))
        }
        Ok(_) => Ok(()),
        Err(failure) => Err(failure),
    };
    report.failure = ended.err();
    report.total = since.elapsed();
    report
}

/// As [`check`], for whoever goes on with the connection, which is there exactly when there is no failure.
pub async fn connect(target: &str, options: &TcpOptions) -> (TcpReport, Option<TcpStream>) {
    let since = Instant::now();
    let mut report = TcpReport::new(target);
    let connected = run(&mut report, options, since).await;
    let connected = connected.and_then(|(peer, connection)| connection.into_stream(peer));
    report.total = since.elapsed();
    let (stream, failure) = match connected {
        Ok(stream) => (Some(stream), None),
        Err(failure) => (None, Some(failure)),
    };
    report.failure = failure;
    (report, stream)
}

/// A connection to the first of the addresses of a target that accepts, and which that is.
#[cfg(any(feature = "dns", feature = "tls"))]
pub(crate) async fn open(
    target: &str,
    mut addresses: Vec<SocketAddr>,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<(SocketAddr, TcpStream), Failure> {
    let TcpOptions {
        prefer,
        attempt_delay,
        max_addresses,
        ..
    } = TcpOptions::default();
    if addresses.len() > 1 {
        race::order(&mut addresses, prefer);
        addresses.truncate(max_addresses);
    }
    let (won, attempts) = race::run(&addresses, source, attempt_delay, deadline).await;
    match won {
        Some((TcpAttempt { address, .. }, connection)) => Ok((address, connection.into_stream(address)?)),
        None => Err(race::most_telling(target, &attempts)),
    }
}

/// The connection, and to which address it is.
async fn run(
    report: &mut TcpReport,
    options: &TcpOptions,
    since: Instant,
) -> Result<(SocketAddr, Connection), Failure> {
    options.check()?;
    // Whoever checks many targets of this host waits for nothing, and others of the runtime shall have their turn.
    consume_budget().await;
    let (host, port) = Target::with_port(&report.target, None)?;
    let way = Way {
        family: options.family,
        source: options.source,
    };
    let resolved = way.resolve(host, port, options.timeout).await?;
    report.dns = resolved.name_took();
    let mut addresses = resolved.addresses;
    report.found = addresses.len();
    if addresses.len() > 1 {
        race::order(&mut addresses, options.prefer);
        addresses.truncate(options.max_addresses);
    }
    let (won, attempts) = race::run(
        &addresses,
        options.source,
        options.attempt_delay,
        since + options.timeout,
    )
    .await;
    report.attempts = attempts;
    let Some((attempt, connection)) = won else {
        report.address = race::telling(&report.attempts).map(|(attempt, _)| attempt.address);
        return Err(race::most_telling(&report.target, &report.attempts));
    };
    report.address = Some(attempt.address);
    report.connect = Some(attempt.took);
    report.local = connection.local();
    Ok((attempt.address, connection))
}

impl TcpReport {
    fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            address: None,
            local: None,
            dns: None,
            connect: None,
            total: Duration::ZERO,
            found: 0,
            attempts: Vec::new(),
            failure: None,
        }
    }
}

impl TcpOptions {
    fn check(&self) -> Result<(), Failure> {
        let problem = if let Some(problem) = reach::wrong_timeout(self.timeout) {
            problem
        } else if !ATTEMPT_DELAYS.contains(&self.attempt_delay) {
            "the time between two attempts is from 10 milliseconds to 2 seconds"
        } else if self.max_addresses == 0 {
            "at least one address has to be tried"
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Invalid, problem))
    }
}
