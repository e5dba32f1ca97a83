//! UDP: whether what is sent is answered as it should be, and what silence can mean.
//!
//! Nobody has to answer a datagram, so a check is only as good as its expectation. A protocol that answers (DNS, NTP,
//! echo) or bytes with the reply to them give success or failure; bytes without an expected reply give
//! [`UdpState::OpenOrSilent`] when nothing comes back, which is neither.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use netcheck::udp::{self, Expect, Probe, UdpOptions, UdpState};
//!
//! let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
//! let target = server.local_addr()?.to_string();
//! let options = UdpOptions {
//!     probe: Probe::bytes("status\n")?.expecting(Expect::Prefix(b"OK".to_vec())),
//!     ..UdpOptions::default()
//! };
//! let answer = async {
//!     let mut asked = [0; 16];
//!     let (_, from) = server.recv_from(&mut asked).await?;
//!     server.send_to(b"OK 12 jobs", from).await
//! };
//! let (report, answered) = tokio::join!(udp::check(&target, &options), answer);
//! assert_eq!(report.state, UdpState::Answered, "{report:?}");
//! answered?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
mod ask;
mod bytes;
mod dns;
mod exchange;
mod ntp;
mod probe;

pub use crate::response_code::ResponseCode;
pub use bytes::parse_bytes;
pub use ntp::{Leap, NtpReply};
pub use probe::{Expect, Probe};

use crate::{Failure, FailureKind, Family, reach};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::Instant;

/// The most that is sent more than once.
const MOST_ATTEMPTS: u32 = 100;

/// How UDP is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// What is sent, and what shall come back; an empty datagram, to which nobody has to answer.
    pub probe: Probe,
    /// Which addresses serve; any, of which the first is asked that is there: one that nobody can reach from here is passed
    /// over (of 8 at the most), and one that is silent is not.
    pub family: Family,
    /// The address of this machine from which it is sent; the one that its routes choose unless one is named. Only addresses of
    /// the same family are asked then.
    pub source: Option<IpAddr>,
    /// How long resolving the name may take, and after that each attempt; 2 seconds, more than none, to an hour.
    pub timeout: Duration,
    /// How often it is sent until an answer comes, each time from a fresh port; 1, to 100. What remained without an
    /// answer is counted as lost.
    pub attempts: u32,
    /// The longest reply that is taken, in bytes; 4096, to 65535. A longer one is a failure.
    pub max_reply: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            probe: Probe::Bytes {
                payload: Vec::new(),
                expect: None,
            },
            family: Family::Any,
            source: None,
            timeout: Duration::from_secs(2),
            attempts: 1,
            max_reply: 4096,
        }
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UdpReport {
    /// What was to be checked, as it was given.
    pub target: String,
    /// Whether it is well, which may remain open.
    pub state: UdpState,
    /// The address that was asked; the last of several.
    pub address: Option<SocketAddr>,
    /// How many addresses the name has.
    pub found: usize,
    /// Our end of the last attempt.
    pub local: Option<SocketAddr>,
    /// How long it took to resolve the name; nothing for an address.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "dns_ms", serialize_with = "crate::millis::option::serialize")
    )]
    pub dns: Option<Duration>,
    /// How long the answer took since what it answers was sent.
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
    /// How many datagrams were sent.
    pub sent: u32,
    /// How many of those nothing came back to, not even that nobody listens; nothing where no answer is due.
    pub lost: Option<u32>,
    /// What came from another address than was asked, or with another cookie: nothing of it is used.
    pub foreign: u64,
    /// Each attempt, in order.
    pub attempts: Vec<UdpAttempt>,
    /// The length of the reply in bytes.
    pub reply_size: Option<usize>,
    /// The first 128 bytes of the reply, with what cannot be printed as escapes.
    pub reply: Option<String>,
    /// How a name server answered. One that says that there is no such name is well; one that could not or would not find out is not.
    pub response_code: Option<ResponseCode>,
    /// What a time server said.
    pub ntp: Option<NtpReply>,
    /// Why it is not well.
    pub failure: Option<Failure>,
}

/// Whether UDP is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum UdpState {
    /// The reply is what was expected.
    Answered,
    /// No reply was expected and none came, nor did anybody say that the port is closed. The service may be well, the
    /// datagram may be lost, a firewall may drop it: this is neither success nor failure.
    OpenOrSilent,
    /// It is not well: see the failure.
    Failed,
}

impl UdpState {
    /// Whether it is well, where that is known.
    #[must_use]
    pub const fn is_success(self) -> Option<bool> {
        match self {
            Self::Answered => Some(true),
            Self::OpenOrSilent => None,
            Self::Failed => Some(false),
        }
    }
}

/// What became of one datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UdpAttempt {
    /// Who was asked.
    pub address: SocketAddr,
    /// How long it took until the answer, the failure or the end of the time.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "took_ms", serialize_with = "crate::millis::serialize")
    )]
    pub took: Duration,
    /// Whether the answer came.
    pub answered: bool,
    /// Why not.
    pub failure: Option<Failure>,
}

/// Sends the probe to `host`, `host:port` or `[v6]:port`; the port may be left out where the probe is a protocol with one.
pub async fn check(target: &str, options: &UdpOptions) -> UdpReport {
    let since = Instant::now();
    let mut report = UdpReport::new(target);
    match ask::run(&mut report, options).await {
        Ok(state) => report.state = state,
        Err(failure) => report.failure = Some(failure),
    }
    report.total = since.elapsed();
    report
}

impl UdpReport {
    fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            state: UdpState::Failed,
            address: None,
            found: 0,
            local: None,
            dns: None,
            time: None,
            total: Duration::ZERO,
            sent: 0,
            lost: None,
            foreign: 0,
            attempts: Vec::new(),
            reply_size: None,
            reply: None,
            response_code: None,
            ntp: None,
            failure: None,
        }
    }

    fn count_lost(&mut self, is_answer_due: bool) {
        let is_lost = |attempt: &&UdpAttempt| {
            let failure = attempt.failure.as_ref();
            failure.is_some_and(|failure| failure.kind == FailureKind::TimedOut)
        };
        self.lost = is_answer_due.then(|| self.attempts.iter().filter(is_lost).count() as u32);
    }
}

impl UdpOptions {
    fn check(&self) -> Result<(), Failure> {
        let problem = if let Some(problem) = reach::wrong_timeout(self.timeout) {
            problem
        } else if !(1..=MOST_ATTEMPTS).contains(&self.attempts) {
            "the number of attempts is from 1 to 100"
        } else if !(1..=65_535).contains(&self.max_reply) {
            "the longest reply has from 1 to 65535 bytes"
        } else {
            return self.probe.check();
        };
        Err(Failure::new(FailureKind::Invalid, problem))
    }
}

/// The readers of replies, for fuzzers.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(data: &[u8]) {
    const COOKIE: u64 = 0x0123_4567_89ab_cdef;
    let Some((is_ours, rest)) = data.split_first() else {
        return;
    };
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut reply = rest.to_vec();
    if let Some(origin) = reply.get_mut(24..32).filter(|_| is_ours % 2 == 1) {
        origin.copy_from_slice(&COOKIE.to_be_bytes());
    }
    let took = Duration::from_millis(1);
    if let Ok(Some(said)) = ntp::judge(&reply, COOKIE, address, std::time::SystemTime::UNIX_EPOCH, took) {
        assert!(said.offset.is_none_or(f64::is_finite) && said.delay.is_none_or(|delay| delay >= 0.0));
        assert!(said.precision.is_none_or(|precision| precision <= 1e3));
    }
    let Ok(query) = dns::query("a.test", 7) else { return };
    let mut reply = rest.to_vec();
    if is_ours % 2 == 1 {
        reply = [&query, rest].concat();
        for (at, byte) in rest.iter().take(8).enumerate() {
            // The flags and the counts are from outside.
            if let Some(place) = reply.get_mut(at + 4) {
                *place = *byte;
            }
        }
        reply[2..6].copy_from_slice(&[0x81, 0, 0, 1]);
    }
    dns::judge(&reply, &query, address).ok();
}
