//! How name servers answer.
use crate::{Failure, FailureKind};
use std::{fmt, str::FromStr};

/// How a name server answered (RFC 1035, section 4.1.1, and RFC 6895), by its number.
///
/// ```
/// use netcheck::udp::ResponseCode;
/// assert_eq!("nxdomain".parse::<ResponseCode>()?, ResponseCode::NXDOMAIN);
/// assert_eq!(ResponseCode(2).to_string(), "SERVFAIL");
/// # Ok::<(), netcheck::Failure>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResponseCode(
    /// Its number, of 12 bits.
    pub u16,
);

/// The codes a server answers a query with, by their numbers from 0.
const NAMES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];
/// Those that need EDNS.
const EXTENDED: [(u16, &str); 2] = [(16, "BADVERS"), (23, "BADCOOKIE")];

impl ResponseCode {
    /// All is well.
    pub const NOERROR: Self = Self(0);
    /// The server cannot read the query.
    pub const FORMERR: Self = Self(1);
    /// The server could not find out.
    pub const SERVFAIL: Self = Self(2);
    /// There is no such name.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not do what it was asked to.
    pub const NOTIMP: Self = Self(4);
    /// The server does not answer such queries, or not from there.
    pub const REFUSED: Self = Self(5);
    /// The server does not know this version of EDNS.
    pub const BADVERS: Self = Self(16);

    /// Whether the server knows about the name: what there is, or that there is no such name. It has read the question then.
    pub(crate) const fn is_knowing(self) -> bool {
        matches!(self, Self::NOERROR | Self::NXDOMAIN)
    }

    /// What a server means by it, as the end of a sentence; nothing where the code is all that can be said.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::FORMERR => ", it cannot read the query",
            Self::SERVFAIL => ", it could not find out",
            Self::NOTIMP => ", it does not do what it was asked to",
            Self::REFUSED => ", its rules forbid it",
            _ => "",
        }
    }
}

impl FromStr for ResponseCode {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let name = text.to_ascii_uppercase();
        let named = NAMES.iter().zip(0..).map(|(name, number)| (number, *name));
        let code = named.chain(EXTENDED).find(|(_, known)| *known == name);
        let code = code.map(|(number, _)| number);
        code.or_else(|| name.strip_prefix("RCODE")?.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                let detail = format!(
                    "`{}` is no response code, such as NOERROR or NXDOMAIN",
                    text.escape_debug()
                );
                Failure::new(FailureKind::Invalid, detail)
            })
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = EXTENDED.into_iter().find(|(number, _)| *number == self.0);
        match NAMES.get(usize::from(self.0)).copied().or(named.map(|(_, name)| name)) {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ResponseCode {
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
            let code = ResponseCode(number);
            assert_eq!(code.to_string().parse::<ResponseCode>().unwrap(), code);
        }
    }
}
