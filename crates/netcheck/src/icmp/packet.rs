//! Messages: written, and read from whatever comes.
use super::error::IcmpError;
use std::net::{IpAddr, Ipv4Addr};

/// The header of every message, in bytes.
pub(crate) const HEADER: usize = 8;

const V4_ECHO_REPLY: u8 = 0;
const V4_ECHO: u8 = 8;
const V6_ECHO: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;

/// The protocol number of ICMP in an IPv4 header.
const ICMP: u8 = 1;

/// An answer to an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'p> {
    /// The identifier of the request; a datagram socket puts one of its own there.
    pub id: u16,
    /// The number of the request, modulo 65536.
    pub sequence: u16,
    /// What the request carried.
    pub payload: &'p [u8],
}

/// A message that means something to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'p> {
    /// An answer to an echo request.
    EchoReply(Echo<'p>),
    /// Somebody says what became of a packet.
    Error(IcmpError<'p>),
}

impl<'p> Message<'p> {
    /// Reads a message from its ICMP header on, as it came by IPv4 (`is_v6` false) or IPv6. `None` for what is malformed or means
    /// nothing to a check. Checksums are the kernel's matter.
    #[must_use]
    pub fn parse(is_v6: bool, message: &'p [u8]) -> Option<Self> {
        let (header, rest) = message.split_at_checked(HEADER)?;
        let reply = if is_v6 { V6_ECHO_REPLY } else { V4_ECHO_REPLY };
        if header[0] == reply {
            return (header[1] == 0).then_some(Self::EchoReply(Echo {
                id: u16::from_be_bytes([header[4], header[5]]),
                sequence: u16::from_be_bytes([header[6], header[7]]),
                payload: rest,
            }));
        }
        IcmpError::parse(is_v6, header, rest).map(Self::Error)
    }
}

/// A packet as a socket gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'p> {
    /// From the ICMP header on.
    pub(crate) message: &'p [u8],
    /// Who sent it, where the packet itself says so.
    pub(crate) source: Option<IpAddr>,
    /// What was left of its time to live, where the packet itself says so.
    pub(crate) ttl: Option<u8>,
}

impl<'p> Packet<'p> {
    /// What a raw IPv4 socket gives begins with the IP header (RFC 791).
    pub(crate) fn of_raw_v4(packet: &'p [u8]) -> Option<Self> {
        let first = *packet.first()?;
        let length = usize::from(first & 0xf) * 4;
        if first >> 4 != 4 || length < 20 || packet.get(9) != Some(&ICMP) {
            return None;
        }
        let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
        Some(Self {
            message: packet.get(length..)?,
            source: Some(IpAddr::V4(Ipv4Addr::from(source))),
            ttl: packet.get(8).copied(),
        })
    }

    /// Any other socket gives the message alone.
    pub(crate) const fn of_message(message: &'p [u8]) -> Self {
        Self {
            message,
            source: None,
            ttl: None,
        }
    }
}

/// Makes the checksum of a request the same whatever its number and token are, by the two bytes of its payload at `at`: routers
/// that share their load by the first words of a packet send all requests to a target the same way (Augustin et al., "Avoiding
/// traceroute anomalies with Paris traceroute", 2006).
pub(crate) fn level_sum(id: u16, sequence: u16, payload: &mut [u8], at: usize) {
    let Some(place) = payload.get_mut(at..at + 2) else {
        return;
    };
    place.copy_from_slice(&[0, 0]);
    let rest = [id, sequence, !checksum(payload)];
    let sum: u32 = rest.into_iter().map(u32::from).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    // All of it together is then all ones, which is nothing in this arithmetic.
    payload[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// Writes an echo request. The checksum of ICMPv6 covers addresses that the kernel alone knows, so it computes that one.
pub(crate) fn echo_request(is_v6: bool, id: u16, sequence: u16, payload: &[u8], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(&[if is_v6 { V6_ECHO } else { V4_ECHO }, 0, 0, 0]);
    to.extend_from_slice(&id.to_be_bytes());
    to.extend_from_slice(&sequence.to_be_bytes());
    to.extend_from_slice(payload);
    if !is_v6 {
        let sum = checksum(to);
        to[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071).
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut sum: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
    if let [last] = rest {
        sum += u64::from(*last) << 8;
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_has_the_checksum_that_makes_the_sum_of_all_zero() {
        let mut packet = Vec::new();
        echo_request(false, 0x1234, 7, b"odd", &mut packet);
        assert_eq!(&packet[..2], [8, 0]);
        assert_eq!(&packet[4..], [0x12, 0x34, 0, 7, b'o', b'd', b'd']);
        assert_eq!(checksum(&packet), 0);
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        echo_request(true, 1, 2, &[], &mut packet);
        assert_eq!(packet, [128, 0, 0, 0, 0, 1, 0, 2]);
    }

    #[test]
    fn a_reply_is_read_with_the_header_of_a_raw_socket_and_without() {
        let mut packet = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 61, 1, 0, 0, 192, 0, 2, 7, 192, 0, 2, 1];
        packet.extend([1, 1, 1, 1]);
        packet.extend([0, 0, 0, 0, 0, 5, 0, 6, 9, 9]);
        let raw = Packet::of_raw_v4(&packet).unwrap();
        assert_eq!((raw.source, raw.ttl), (Some("192.0.2.7".parse().unwrap()), Some(61)));
        let reply = Echo {
            id: 5,
            sequence: 6,
            payload: &[9, 9],
        };
        assert_eq!(Message::parse(false, raw.message), Some(Message::EchoReply(reply)));
        // The same type means something else by IPv6, and a request is not an answer.
        assert_eq!(Message::parse(true, raw.message), None);
        assert_eq!(Message::parse(false, &[8, 0, 0, 0, 0, 0, 0, 0]), None);
        packet[9] = 17;
        assert_eq!(Packet::of_raw_v4(&packet), None);
    }

    proptest! {
        #[test]
        fn requests_of_any_number_and_payload_have_one_checksum(is_v6: bool, id: u16, sequence: u16, mut payload in prop::collection::vec(any::<u8>(), 22..100)) {
            let mut packet = Vec::new();
            level_sum(id, sequence, &mut payload, 20);
            echo_request(false, id, sequence, &payload, &mut packet);
            // The type alone is left, as if nothing followed.
            prop_assert_eq!(&packet[2..4], &[0xf7, 0xff]);
            // By IPv6 the kernel adds what does not change; so it is enough that the rest comes to the same.
            echo_request(is_v6, id, sequence, &payload, &mut packet);
            packet[..4].fill(0);
            prop_assert!([0, 0xffff].contains(&checksum(&packet)));
        }

        #[test]
        fn whatever_comes_is_read_without_harm(is_v6: bool, packet in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Message::parse(is_v6, &packet));
            if let Some(raw) = Packet::of_raw_v4(&packet) {
                prop_assert!(raw.message.len() <= packet.len() - 20);
                drop(Message::parse(false, raw.message));
            }
        }

        #[test]
        fn what_is_written_is_read_again_by_who_answers(is_v6: bool, id: u16, sequence: u16, payload in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut packet = Vec::new();
            echo_request(is_v6, id, sequence, &payload, &mut packet);
            packet[0] = if is_v6 { V6_ECHO_REPLY } else { V4_ECHO_REPLY };
            let expected = Message::EchoReply(Echo { id, sequence, payload: &payload });
            prop_assert_eq!(Message::parse(is_v6, &packet), Some(expected));
        }
    }
}
