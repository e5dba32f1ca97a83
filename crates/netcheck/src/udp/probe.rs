//! What is sent, and what shall come back.
use super::parse_bytes;
use crate::{Failure, FailureKind};
use std::{fmt, str::FromStr};

/// The most that one datagram carries over IPv4.
const MOST: usize = 65_507;
/// The shortest echo, with enough bits that nobody guesses it.
const SHORTEST_ECHO: usize = 8;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Bytes of one's own.
    Bytes {
        /// What is sent, up to 65507 bytes.
        payload: Vec<u8>,
        /// What shall come back. Without it any reply is an answer, and none is [`OpenOrSilent`](super::UdpState).
        expect: Option<Expect>,
    },
    /// A query of DNS (RFC 1035); any answer to it counts that says what there is (NOERROR), or that there is no such name
    /// (NXDOMAIN), and about the root also that the server does not tell of it (REFUSED). Port 53.
    Dns {
        /// The name whose A records are asked for; empty, or a dot, for the name servers of the root.
        name: String,
    },
    /// The time (NTP version 4, RFC 5905). Port 123.
    Ntp,
    /// Random bytes that shall come back as they are (RFC 862). Port 7.
    Echo {
        /// How many, from 8 to 65507.
        size: usize,
    },
}

/// What a reply shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// These bytes.
    Exact(Vec<u8>),
    /// What begins with these bytes.
    Prefix(Vec<u8>),
    /// What has these bytes somewhere.
    Contains(Vec<u8>),
}

impl Probe {
    /// Bytes as [`parse_bytes`] reads them, without an expected reply.
    ///
    /// # Errors
    /// Those of [`parse_bytes`].
    pub fn bytes(text: &str) -> Result<Self, Failure> {
        Ok(Self::Bytes {
            payload: parse_bytes(text)?,
            expect: None,
        })
    }

    /// With this reply; a named protocol has its own.
    #[must_use]
    pub fn expecting(mut self, reply: Expect) -> Self {
        if let Self::Bytes { expect, .. } = &mut self {
            *expect = Some(reply);
        }
        self
    }

    /// The port of the protocol.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Bytes { .. } => None,
            Self::Dns { .. } => Some(53),
            Self::Ntp => Some(123),
            Self::Echo { .. } => Some(7),
        }
    }

    pub(super) const fn is_answer_due(&self) -> bool {
        !matches!(self, Self::Bytes { expect: None, .. })
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        let problem = match self {
            Self::Bytes { payload, .. } if payload.len() > MOST => "a datagram carries 65507 bytes at most",
            Self::Echo { size } if !(SHORTEST_ECHO..=MOST).contains(size) => "an echo has from 8 to 65507 bytes",
            _ => return Ok(()),
        };
        Err(Failure::new(FailureKind::Invalid, problem))
    }
}

impl FromStr for Probe {
    type Err = Failure;

    /// Reads `dns`, `dns:NAME`, `ntp`, `echo`, `echo:SIZE`, `bytes:BYTES` or `hex:BYTES`, the latter two as [`parse_bytes`] does.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let (kind, rest) = text
            .split_once(':')
            .map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("dns", name) => Ok(Self::Dns {
                name: name.unwrap_or_default().to_owned(),
            }),
            ("ntp", None) => Ok(Self::Ntp),
            ("echo", None) => Ok(Self::Echo { size: 32 }),
            ("echo", Some(size)) => {
                let size = size.parse().map_err(|_| not_a_probe(text))?;
                Ok(Self::Echo { size })
            }
            ("bytes", Some(bytes)) => Self::bytes(bytes),
            ("hex", Some(_)) => Self::bytes(text),
            _ => Err(not_a_probe(text)),
        }
    }
}

fn not_a_probe(text: &str) -> Failure {
    let shown = text.escape_debug();
    let detail = format!("`{shown}` is none of dns, dns:NAME, ntp, echo, echo:SIZE, bytes:BYTES, hex:BYTES");
    Failure::new(FailureKind::Invalid, detail)
}

impl Expect {
    /// Whether a reply is what it shall be.
    #[must_use]
    pub fn is_met(&self, reply: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(bytes) => reply == bytes,
            Self::Prefix(bytes) => reply.starts_with(bytes),
            Self::Contains(bytes) => bytes.is_empty() || reply.windows(bytes.len()).any(|window| window == bytes),
        }
    }
}

impl FromStr for Expect {
    type Err = Failure;

    /// Reads `any`, `exact:BYTES`, `prefix:BYTES` or `contains:BYTES`, the bytes as [`parse_bytes`] does.
    fn from_str(text: &str) -> Result<Self, Failure> {
        match text.split_once(':') {
            None if text == "any" => Ok(Self::Any),
            Some(("exact", bytes)) => parse_bytes(bytes).map(Self::Exact),
            Some(("prefix", bytes)) => parse_bytes(bytes).map(Self::Prefix),
            Some(("contains", bytes)) => parse_bytes(bytes).map(Self::Contains),
            _ => {
                let shown = text.escape_debug();
                let detail = format!("`{shown}` is none of any, exact:BYTES, prefix:BYTES, contains:BYTES");
                Err(Failure::new(FailureKind::Invalid, detail))
            }
        }
    }
}

/// As the end of a sentence about a reply that is not so.
impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("is nothing"),
            Self::Exact(bytes) => write!(f, "is not `{}`", bytes.escape_ascii()),
            Self::Prefix(bytes) => write!(f, "does not begin with `{}`", bytes.escape_ascii()),
            Self::Contains(bytes) => write!(f, "does not contain `{}`", bytes.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_met_by_what_it_says_and_nothing_else() {
        let met = |text: &str, reply: &[u8]| text.parse::<Expect>().unwrap().is_met(reply);
        assert!(met("any", b"") && met("exact:ab", b"ab") && !met("exact:ab", b"abc"));
        assert!(met("prefix:ab", b"abc") && !met("prefix:ab", b"cab"));
        assert!(met("contains:hex:6162", b"cab") && !met("contains:ab", b"a") && met("contains:", b""));
        assert!(
            "begins:ab"
                .parse::<Expect>()
                .unwrap_err()
                .detail
                .contains("prefix:BYTES")
        );
    }

    #[test]
    fn a_probe_is_read_as_it_is_written() {
        let read = |text: &str| text.parse::<Probe>().unwrap();
        assert_eq!(read("ntp"), Probe::Ntp);
        assert_eq!(read("dns").port(), Some(53));
        assert_eq!(
            read("dns:a.test"),
            Probe::Dns {
                name: "a.test".to_owned()
            }
        );
        assert_eq!(read("echo:64"), Probe::Echo { size: 64 });
        assert_eq!(read("bytes:a:b\\n"), Probe::bytes("a:b\n").unwrap());
        assert_eq!(read("hex:00ff"), Probe::bytes("hex:00ff").unwrap());
        for text in ["", "icmp", "echo:x", "ntp:1", "bytes"] {
            assert_eq!(text.parse::<Probe>().unwrap_err().kind, FailureKind::Invalid, "{text}");
        }
    }
}
