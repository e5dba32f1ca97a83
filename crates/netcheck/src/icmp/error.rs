//! Errors: what somebody on the way says became of a packet, of which the message quotes the beginning.
use super::extension::Extensions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Headers that may stand between that of IPv6 and the transport's (RFC 8200, section 4).
const V6_EXTENSIONS: [u8; 4] = [0, 43, 44, 60];
/// So many of them are gone through.
const V6_EXTENSIONS_MOST: usize = 8;

/// Why a packet did not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// Its time to live was used up on the way.
    TimeExceeded,
    /// Its fragments did not come together in time.
    Reassembly,
    /// Nobody knows a way to the network.
    NetworkUnreachable,
    /// The target's neighbour does not find it.
    HostUnreachable,
    /// The target does not know the protocol.
    ProtocolUnreachable,
    /// Nobody listens at the port.
    PortUnreachable,
    /// A rule forbids it.
    Prohibited,
    /// It may not be split, and is longer than what the next link carries; this many bytes would pass, where that was said.
    TooBig {
        /// The longest packet that would pass, in bytes with its IP header; 0 where an old router does not say.
        mtu: u32,
    },
    /// Something in its header cannot be understood.
    BadHeader,
    /// It is unreachable for another reason, by its code.
    Unreachable {
        /// The code (RFC 1812 for IPv4, RFC 4443 for IPv6).
        code: u8,
    },
}

impl Reason {
    /// By the numbers of the protocol; `None` for messages that do not say that a packet was lost.
    #[must_use]
    pub fn new(is_v6: bool, kind: u8, code: u8, mtu: u32) -> Option<Self> {
        Some(match (is_v6, kind, code) {
            (false, 11, 0) | (true, 3, 0) => Self::TimeExceeded,
            (false, 11, _) | (true, 3, _) => Self::Reassembly,
            (false, 12, _) | (true, 4, _) => Self::BadHeader,
            (true, 2, _) | (false, 3, 4) => Self::TooBig { mtu },
            (false, 3, 0 | 6) | (true, 1, 0) => Self::NetworkUnreachable,
            (false, 3, 1 | 7) | (true, 1, 3) => Self::HostUnreachable,
            (false, 3, 2) => Self::ProtocolUnreachable,
            (false, 3, 3) | (true, 1, 4) => Self::PortUnreachable,
            (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => Self::Prohibited,
            (false, 3, code) | (true, 1, code) => Self::Unreachable { code },
            _ => return None,
        })
    }

    /// In words that follow "says: ".
    #[must_use]
    pub fn words(self) -> String {
        let fixed = match self {
            Self::TimeExceeded => "time to live exceeded",
            Self::Reassembly => "fragments did not come together",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::ProtocolUnreachable => "protocol unreachable",
            Self::PortUnreachable => "port unreachable",
            Self::Prohibited => "administratively prohibited",
            Self::BadHeader => "bad header",
            Self::TooBig { mtu: 0 } => "too big, and may not be split",
            Self::TooBig { mtu } => return format!("too big: {mtu} bytes would pass"),
            Self::Unreachable { code } => return format!("unreachable, code {code}"),
        };
        fixed.to_owned()
    }
}

/// What a message quotes of the packet that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'p> {
    /// Where the packet was from.
    pub source: IpAddr,
    /// Where it was to go.
    pub destination: IpAddr,
    /// The protocol number of what it carried.
    pub protocol: u8,
    /// The time to live that was left when it was quoted.
    pub ttl: u8,
    /// The beginning of what it carried: at least eight bytes.
    pub transport: &'p [u8],
}

/// What somebody on the way says became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError<'p> {
    /// Why it did not come through.
    pub reason: Reason,
    /// Which packet it was.
    pub quoted: Quoted<'p>,
    /// What was said besides (RFC 4884).
    pub extensions: Extensions,
}

impl<'p> IcmpError<'p> {
    /// By the header of the message and what follows it.
    pub(super) fn parse(is_v6: bool, header: &[u8], rest: &'p [u8]) -> Option<Self> {
        let &[kind, code, _, _, fourth, fifth, sixth, seventh] = header else {
            return None;
        };
        let mtu = if is_v6 {
            u32::from_be_bytes([fourth, fifth, sixth, seventh])
        } else {
            u32::from(u16::from_be_bytes([sixth, seventh]))
        };
        let reason = Reason::new(is_v6, kind, code, mtu)?;
        // RFC 4884, section 4: how long the quotation is, in words of four bytes, or of eight by IPv6.
        let has_length = matches!((is_v6, kind), (false, 3 | 11 | 12) | (true, 1 | 3));
        let length = match (has_length, is_v6) {
            (false, _) => 0,
            (true, false) => usize::from(fifth) * 4,
            (true, true) => usize::from(fourth) * 8,
        };
        let (quotation, extensions) = Extensions::split(rest, length, has_length);
        let quoted = if is_v6 {
            Quoted::parse_v6(quotation)
        } else {
            Quoted::parse_v4(quotation)
        };
        Some(Self {
            reason,
            quoted: quoted?,
            extensions,
        })
    }
}

impl<'p> Quoted<'p> {
    fn parse_v4(packet: &'p [u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        let length = usize::from(header[0] & 0xf) * 4;
        if header[0] >> 4 != 4 || length < header.len() {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into();
        Some(Self {
            source: address(12),
            destination: address(16),
            protocol: header[9],
            ttl: header[8],
            transport: packet.get(length..).filter(|transport| transport.len() >= 8)?,
        })
    }

    fn parse_v6(packet: &'p [u8]) -> Option<Self> {
        let (header, mut transport) = packet.split_first_chunk::<40>()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let address = |at: usize| -> Option<IpAddr> {
            let bytes: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        };
        let mut protocol = header[6];
        for _ in 0..V6_EXTENSIONS_MOST {
            if !V6_EXTENSIONS.contains(&protocol) {
                break;
            }
            let (next, words) = (*transport.first()?, *transport.get(1)?);
            // A fragment header has no length: its second byte is reserved.
            let length = if protocol == 44 {
                8
            } else {
                (usize::from(words) + 1) * 8
            };
            (protocol, transport) = (next, transport.get(length..)?);
        }
        Some(Self {
            source: address(8)?,
            destination: address(24)?,
            protocol,
            ttl: header[7],
            transport: Some(transport).filter(|transport| transport.len() >= 8)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Message, *};
    use proptest::prelude::*;

    /// An IPv4 header, of 192.0.2.1 to 198.51.100.9, and eight bytes.
    fn v4_quotation() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 84, 0, 1, 0, 0, 1, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 9];
        packet.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        packet
    }

    fn error_of(message: &[u8], is_v6: bool) -> IcmpError<'_> {
        match Message::parse(is_v6, message) {
            Some(Message::Error(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_router_says_which_packet_it_dropped_and_why() {
        let message = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &v4_quotation()].concat();
        let error = error_of(&message, false);
        assert_eq!(error.reason, Reason::TimeExceeded);
        assert_eq!((error.quoted.protocol, error.quoted.ttl), (17, 1));
        assert_eq!(error.quoted.destination, "198.51.100.9".parse::<IpAddr>().unwrap());
        assert_eq!(error.quoted.transport, [1, 2, 3, 4, 5, 6, 7, 8]);
        let message = [&[3, 4, 0, 0, 0, 0, 0x05, 0x14][..], &v4_quotation()].concat();
        assert_eq!(error_of(&message, false).reason, Reason::TooBig { mtu: 1300 });
    }

    #[test]
    fn headers_between_that_of_ipv6_and_the_transport_are_passed_over() {
        let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, 44, 3];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend("2001:db8::9".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend([60, 255, 0, 1, 0, 0, 0, 1]);
        packet.extend([58, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([128, 0, 0, 0, 0, 7, 0, 1]);
        message.extend(packet);
        let error = error_of(&message, true);
        assert_eq!(error.reason, Reason::TooBig { mtu: 1280 });
        assert_eq!(error.quoted.protocol, 58);
        assert_eq!(error.quoted.transport, [128, 0, 0, 0, 0, 7, 0, 1]);
        assert_eq!(error.quoted.destination, "2001:db8::9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_quotation_without_the_first_bytes_of_the_transport_is_none() {
        let quotation = v4_quotation();
        let message = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quotation[..27]].concat();
        assert_eq!(Message::parse(false, &message), None);
        // A header that says it is longer than what came.
        let mut long = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quotation].concat();
        long[8] = 0x4f;
        assert_eq!(Message::parse(false, &long), None);
    }

    #[test]
    fn codes_are_told_apart_by_version() {
        let of = |is_v6, kind, code| Reason::new(is_v6, kind, code, 0);
        assert_eq!(of(false, 3, 1), Some(Reason::HostUnreachable));
        assert_eq!(of(true, 1, 3), Some(Reason::HostUnreachable));
        assert_eq!(of(true, 1, 4), Some(Reason::PortUnreachable));
        assert_eq!(of(false, 3, 13), Some(Reason::Prohibited));
        assert_eq!(of(false, 3, 5), Some(Reason::Unreachable { code: 5 }));
        assert_eq!(
            (of(false, 5, 1), of(true, 128, 0)),
            (None, None),
            "redirects and requests lose nothing"
        );
    }

    proptest! {
        #[test]
        fn a_quotation_is_never_longer_than_what_came(is_v6: bool, kind in 0_u8..13, code in 0_u8..8, rest in prop::collection::vec(any::<u8>(), 0..400)) {
            let message = [&[kind, code, 0, 0, rest.first().copied().unwrap_or(0) % 64, rest.get(1).copied().unwrap_or(0) % 64, 0, 0][..], &rest].concat();
            if let Some(Message::Error(error)) = Message::parse(is_v6, &message) {
                prop_assert!((8..=rest.len()).contains(&error.quoted.transport.len()));
            }
        }
    }
}
