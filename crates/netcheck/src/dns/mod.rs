//! DNS: what a name server answers, how fast, and how many queries it took; retries never hide loss.
//!
//! The query is our own, from a fresh port with a random id each time; the resolver of the system is not asked, so
//! neither its cache nor its retries stand between. Over UDP, and over TCP where the answer is longer than fits.
//!
//! ```no_run
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use netcheck::dns::{self, DnsExpect, DnsOptions, RecordType};
//!
//! let options = DnsOptions {
//!     record_type: RecordType::MX,
//!     server: Some("192.0.2.53".to_owned()),
//!     expect: DnsExpect { contains: vec!["10 mail.example.org".to_owned()], ..DnsExpect::default() },
//!     ..DnsOptions::default()
//! };
//! let report = dns::check("example.org", &options).await;
//! for answer in &report.answers {
//!     println!("{} {} {} {}", answer.name, answer.ttl, answer.record_type, answer.data);
//! }
//! if let Some(failure) = &report.failure {
//!     println!("{failure} ({})", failure.remedy());
//! }
//! # });
//! ```
mod ask;
mod codes;
mod exchange;
mod expect;
pub(crate) mod message;
pub(crate) mod resolv_conf;
mod text;

pub use crate::response_code::ResponseCode;
pub use codes::RecordType;
pub use expect::DnsExpect;
pub use resolv_conf::system_servers;

use crate::{Failure, FailureKind, Family, reach};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::Instant;

/// The most that is asked more than once.
const MOST_ATTEMPTS: u32 = 100;
/// The longest datagram that is answered without EDNS, and the shortest that may be asked for with it (RFC 6891).
const PLAIN_SIZE: u16 = 512;

/// How a name server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// The type of the records; A.
    pub record_type: RecordType,
    /// The name server, `address` or `address:port` (or the name of one, which the system resolves). Those of
    /// `/etc/resolv.conf` unless one is named, in their order: the next is asked where one does not answer, or answers neither by
    /// NOERROR nor NXDOMAIN nor as expected. The addresses of a name (8 at the most) are asked like several servers.
    pub server: Option<String>,
    /// By which addresses of the name server it is asked; any. Which records are asked for is another matter.
    pub family: Family,
    /// The address of this machine from which it is asked; the one that its routes choose unless one is named. Only servers of
    /// the same family are asked then.
    pub source: Option<IpAddr>,
    /// How it is asked; over UDP first.
    pub transport: Transport,
    /// How long each exchange may take, be it over UDP or TCP; 2 seconds, more than none, to an hour.
    pub timeout: Duration,
    /// How often each server is asked until one answers, all of them before the first is asked again; 2, to 100. Each query is in
    /// the report with what became of it.
    pub attempts: u32,
    /// The longest datagram that is asked for (EDNS, RFC 6891), in bytes; 1232, from 512. Nothing asks without EDNS. A
    /// server that does not take it (FORMERR, NOTIMP, BADVERS) is asked once more without, beside its attempts.
    pub edns: Option<u16>,
    /// Whether the server shall ask others for what it does not know; so.
    pub recursion: bool,
    /// Whether signatures are asked for, and whether the server has verified them (DNSSEC, the flags DO and AD); not so.
    /// They are not verified here.
    pub dnssec: bool,
    /// The longest answer over TCP that is taken, in bytes; 65535.
    pub max_size: u16,
    /// How many records of the answer stand in the report; 100. All are compared with what is expected.
    pub max_answers: usize,
    /// What the answer shall be.
    pub expect: DnsExpect,
}

/// How a name server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Transport {
    /// In a datagram, and over TCP where the answer does not fit into one.
    #[default]
    Udp,
    /// In a connection.
    Tcp,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            record_type: RecordType::A,
            server: None,
            family: Family::Any,
            source: None,
            transport: Transport::Udp,
            timeout: Duration::from_secs(2),
            attempts: 2,
            edns: Some(1232),
            recursion: true,
            dnssec: false,
            max_size: u16::MAX,
            max_answers: 100,
            expect: DnsExpect::default(),
        }
    }
}

/// How it went. Whatever is about one answer or server is about the last attempt, which decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DnsReport {
    /// What was asked about, as it was given.
    pub name: String,
    /// What was asked for.
    pub record_type: RecordType,
    /// The server that was asked last: the one that answered, or whose failure it is.
    pub server: Option<SocketAddr>,
    /// How the answer came.
    pub transport: Option<Transport>,
    /// What the server said.
    pub response_code: Option<ResponseCode>,
    /// What it said about its answer.
    pub flags: Option<DnsFlags>,
    /// The records of the answer, as many as [`DnsOptions::max_answers`].
    pub answers: Vec<DnsRecord>,
    /// How many there are in all.
    pub answer_count: usize,
    /// How many records about who is responsible came with them.
    pub authority_count: usize,
    /// How many further records came with them.
    pub additional_count: usize,
    /// The serial number of the zone, where the answer or what came with it has one.
    pub serial: Option<u32>,
    /// The length of the answer in bytes.
    pub size: Option<usize>,
    /// What that server said to a query with EDNS, after which it was asked without (RFC 6891, section 7).
    pub edns_refused: Option<ResponseCode>,
    /// How long the exchange that brought the answer took; over TCP, with the handshake.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "time_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub time: Option<Duration>,
    /// How long all of it took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "total_ms", serialize_with = "crate::millis::serialize")
    )]
    pub total: Duration,
    /// How many queries nothing came back to, of all servers together.
    pub lost: u32,
    /// What came from another address than was asked, with another id or to another question: nothing of it is used.
    pub foreign: u64,
    /// Each exchange, in order.
    pub attempts: Vec<DnsAttempt>,
    /// Why it is not well.
    pub failure: Option<Failure>,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DnsAttempt {
    /// Who was asked.
    pub server: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Whether the query had EDNS.
    pub edns: bool,
    /// How long it took until the answer, the failure or the end of the time.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "took_ms", serialize_with = "crate::millis::serialize")
    )]
    pub took: Duration,
    /// The length of what came, in bytes.
    pub size: Option<usize>,
    /// How it ended.
    pub outcome: DnsOutcome,
    /// What the server said, where it answered.
    pub response_code: Option<ResponseCode>,
    /// Why it failed, where it did.
    pub failure: Option<Failure>,
}

/// How one exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum DnsOutcome {
    /// By an answer.
    Answered,
    /// By an answer that did not fit; it is asked for over TCP.
    Truncated,
    /// By a failure.
    Failed,
}

/// What a server says about its answer (RFC 1035, section 4.1.1, and RFC 4035, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DnsFlags {
    /// It is responsible for the name (AA).
    pub authoritative: bool,
    /// The answer is not whole (TC).
    pub truncated: bool,
    /// It was asked to ask others (RD).
    pub recursion_desired: bool,
    /// It asks others (RA).
    pub recursion_available: bool,
    /// It has verified the signatures (AD). It may say so; whether that is true is not verified here.
    pub authentic_data: bool,
    /// It was asked not to verify them (CD).
    pub checking_disabled: bool,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DnsRecord {
    /// Whose it is.
    pub name: String,
    /// How long it may be remembered, in seconds.
    pub ttl: u32,
    /// Its type.
    #[cfg_attr(feature = "serde", serde(rename = "type"))]
    pub record_type: RecordType,
    /// Its data as zone files write it.
    pub data: String,
}

/// Asks about a name; an address stands for its reverse name where PTR records are asked for.
pub async fn check(name: &str, options: &DnsOptions) -> DnsReport {
    let since = Instant::now();
    let mut report = DnsReport::new(name, options.record_type);
    report.failure = ask::run(&mut report, options).await.err();
    report.total = since.elapsed();
    report
}

/// The name of an address, as `server` knows it; nothing where it knows none. One query, of `timeout` at most.
///
/// # Errors
/// When the server does not answer, or does not answer so.
pub async fn reverse(address: IpAddr, server: SocketAddr, timeout: Duration) -> Result<Option<String>, Failure> {
    let options = DnsOptions {
        record_type: RecordType::PTR,
        server: Some(server.to_string()),
        timeout,
        attempts: 1,
        // One that is there and has no name is as good as one that is not.
        expect: DnsExpect {
            at_least: 0,
            ..DnsExpect::default()
        },
        ..DnsOptions::default()
    };
    let report = check(&address.to_string(), &options).await;
    match report.failure {
        Some(failure) if failure.kind == FailureKind::NameNotFound => Ok(None),
        Some(failure) => Err(failure),
        None => {
            let mut names = report
                .answers
                .into_iter()
                .filter(|record| record.record_type == RecordType::PTR);
            let name = names.next().map(|record| record.data);
            Ok(name.map(|name| name.strip_suffix('.').map_or(name.clone(), str::to_owned)))
        }
    }
}

impl DnsReport {
    fn new(name: &str, record_type: RecordType) -> Self {
        Self {
            name: name.to_owned(),
            record_type,
            server: None,
            transport: None,
            response_code: None,
            flags: None,
            answers: Vec::new(),
            answer_count: 0,
            authority_count: 0,
            additional_count: 0,
            serial: None,
            size: None,
            edns_refused: None,
            time: None,
            total: Duration::ZERO,
            lost: 0,
            foreign: 0,
            attempts: Vec::new(),
            failure: None,
        }
    }
}

impl DnsOptions {
    fn check(&self) -> Result<(), Failure> {
        let problem = if let Some(problem) = reach::wrong_timeout(self.timeout) {
            problem
        } else if !(1..=MOST_ATTEMPTS).contains(&self.attempts) {
            "the number of attempts is from 1 to 100"
        } else if self.edns.is_some_and(|size| size < PLAIN_SIZE) {
            "the size of datagrams that EDNS asks for is 512 bytes at least"
        } else if self.dnssec && self.edns.is_none() {
            "signatures are asked for by EDNS"
        } else if !self.record_type.is_askable() {
            "records of this type cannot be asked for in one query"
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Invalid, problem))
    }
}
