//! The types of records, which are numbers that have names.
use crate::{Failure, FailureKind};
use hickory_proto::rr;
use std::{fmt, str::FromStr};

/// The type of a record, by its number (RFC 1035, section 3.2.2).
///
/// ```
/// use netcheck::dns::RecordType;
/// assert_eq!("mx".parse::<RecordType>()?, RecordType::MX);
/// assert_eq!("TYPE65280".parse::<RecordType>()?.to_string(), "TYPE65280");
/// # Ok::<(), netcheck::Failure>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordType(
    /// Its number.
    pub u16,
);

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// Another name.
    pub const CNAME: Self = Self(5);
    /// The beginning of a zone, with its serial number.
    pub const SOA: Self = Self(6);
    /// The name of an address.
    pub const PTR: Self = Self(12);
    /// Who takes mail.
    pub const MX: Self = Self(15);
    /// Text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Where a service is.
    pub const SRV: Self = Self(33);
    /// All that the server has.
    pub const ANY: Self = Self(255);

    /// Whether one message answers a query for it; the transfer of a zone is a protocol of its own, and some types only
    /// stand beside a query.
    pub(super) const fn is_askable(self) -> bool {
        !matches!(self.0, 0 | 41 | 249..=252)
    }
}

impl FromStr for RecordType {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let name = text.to_ascii_uppercase();
        let by_number = name.strip_prefix("TYPE").and_then(|number| number.parse().ok());
        let by_name = || name.parse::<rr::RecordType>().ok().map(u16::from);
        let number = by_number.or_else(by_name).map(Self).filter(|kind| kind.is_askable());
        number.ok_or_else(|| {
            let shown = text.escape_debug();
            let detail = format!("`{shown}` is no type of record that can be asked for, such as A, AAAA, MX or TYPE65");
            Failure::new(FailureKind::Invalid, detail)
        })
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match rr::RecordType::from(self.0) {
            rr::RecordType::Unknown(number) => write!(f, "TYPE{number}"),
            known => known.fmt(f),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for RecordType {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_written_so_that_it_can_be_read_again() {
        for number in 0..=u16::MAX {
            let kind = RecordType(number);
            if kind.is_askable() {
                assert_eq!(kind.to_string().parse::<RecordType>().unwrap(), kind, "{number}");
            }
        }
    }

    #[test]
    fn a_transfer_of_a_zone_cannot_be_asked_for() {
        for name in ["AXFR", "ixfr", "OPT", "TYPE252", "TYPE0", "", "NOPE"] {
            assert_eq!(
                name.parse::<RecordType>().unwrap_err().kind,
                FailureKind::Invalid,
                "{name}"
            );
        }
    }
}
