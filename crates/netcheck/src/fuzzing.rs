//! Arbitrary bytes for whatever reads what comes from outside. For fuzzers only.
#[cfg(feature = "http")]
pub use crate::http::fuzzing::{redirect, status};
#[cfg(feature = "tls")]
pub use crate::tls::fuzzing::{certificate, start_tls};

use crate::{
    icmp::{self, Message, Packet},
    udp,
};

/// The bits of the first byte of [`icmp_message`].
const IS_V6: u8 = 1;
const IS_RAW: u8 = 2;
/// As many labels of MPLS are kept.
const LABELS_MOST: usize = 16;

/// A target as people write it.
///
/// # Panics
/// When what was read has blanks in it, or port 0.
pub fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(target) = crate::target::Target::parse(text) {
        assert!(!target.host.to_string().contains(char::is_whitespace) && target.port != Some(0));
    }
}

/// A probe, an expectation and bytes of UDP as people write them.
///
/// # Panics
/// When an expectation is not met by its own bytes.
pub fn probe(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    text.parse::<udp::Probe>().ok();
    match text.parse::<udp::Expect>() {
        Ok(udp::Expect::Any) => assert_eq!(text, "any"),
        Ok(expect) => {
            let (_, written) = text.split_once(':').unwrap_or_default();
            assert!(udp::parse_bytes(written).is_ok_and(|bytes| expect.is_met(&bytes)));
        }
        Err(error) => assert!(!error.detail.contains(char::is_control)),
    }
    if let Ok(bytes) = udp::parse_bytes(text) {
        assert!(bytes.len() <= text.len());
        assert!(
            udp::Expect::Exact(bytes.clone()).is_met(&bytes) && udp::Expect::Contains(bytes.clone()).is_met(&bytes)
        );
    }
}

/// Datagrams of a name server and of a time server, as the probes of UDP read them. The first byte tells whether our
/// id, question and cookie are put where a reply has them.
///
/// # Panics
/// When a time is told that is none.
pub fn replies(data: &[u8]) {
    udp::fuzz(data);
}

/// What a socket of ICMP gives. The first byte tells how it came: its lowest bit is set for IPv6, the next for a raw
/// socket, which has an IPv4 header before the message.
///
/// # Panics
/// When what was read is longer than what came, of the other version of IP, or an answer is not what its request was.
pub fn icmp_message(data: &[u8]) {
    let Some((how, came)) = data.split_first() else { return };
    let is_v6 = how & IS_V6 != 0;
    let packet = if how & IS_RAW != 0 && !is_v6 {
        let Some(packet) = Packet::of_raw_v4(came) else { return };
        assert!(packet.message.len() + 20 <= came.len() && came.ends_with(packet.message));
        assert!(packet.ttl == Some(came[8]) && packet.source.is_some_and(|source| source.is_ipv4()));
        packet
    } else {
        Packet::of_message(came)
    };
    let message = packet.message;
    match Message::parse(is_v6, message) {
        Some(Message::EchoReply(echo)) => {
            let mut request = Vec::new();
            icmp::echo_request(is_v6, echo.id, echo.sequence, echo.payload, &mut request);
            // But for the type, the code and the checksum they are the same.
            assert_eq!(request[4..], message[4..]);
        }
        Some(Message::Error(error)) => {
            let (quoted, labels) = (error.quoted, &error.extensions.mpls);
            let shortest = if is_v6 { 40 } else { 20 };
            assert!(quoted.transport.len() >= 8);
            assert!(icmp::HEADER + shortest + quoted.transport.len() + 4 * labels.len() <= message.len());
            assert!(quoted.source.is_ipv6() == is_v6 && quoted.destination.is_ipv6() == is_v6);
            assert!(labels.len() <= LABELS_MOST);
            assert!(labels.iter().all(|label| label.label < 1 << 20 && label.class < 8));
            let words = error.reason.words();
            assert!(!words.is_empty() && !words.contains(char::is_control));
        }
        None => {}
    }
}

/// An answer of a name server. The first byte tells whether our id and question are put where an answer has them.
///
/// # Panics
/// When what is shown of it has control characters.
#[cfg(feature = "dns")]
pub fn dns_answer(data: &[u8]) {
    crate::dns::message::fuzz(data);
}

/// The file that names the name servers.
///
/// # Panics
/// When it gives no server or more than three.
#[cfg(feature = "dns")]
pub fn resolv_conf(data: &[u8]) {
    let servers = crate::dns::resolv_conf::servers(data).len();
    assert!((1..=3).contains(&servers), "{servers}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_can_be_given_to_every_entry(data in prop::collection::vec(any::<u8>(), 0..160)) {
            target(&data);
            probe(&data);
            replies(&data);
            icmp_message(&data);
            #[cfg(feature = "dns")]
            {
                dns_answer(&data);
                resolv_conf(&data);
            }
        }

        /// Behind a right quotation anything may follow, of which a router says how long it is.
        #[test]
        fn any_extensions_can_follow_a_quotation(how in 0_u8..4, length: u8, rest in prop::collection::vec(any::<u8>(), 60..200)) {
            let is_v6 = how & IS_V6 != 0;
            let message = if is_v6 {
                [&[3, 0, 0, 0, length % 32, 0, 0, 0][..], &[0x60, 0, 0, 0, 0, 0, 17, 1], &rest].concat()
            } else {
                [&[11, 0, 0, 0, 0, length % 64, 0, 0][..], &[0x45, 0, 0, 0, 0, 0, 0, 0, 1, 17], &rest].concat()
            };
            prop_assert!(matches!(Message::parse(is_v6, &message), Some(Message::Error(_))));
            let head = [0x45, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
            let before = if how == IS_RAW { &head[..] } else { &[] };
            icmp_message(&[&[how], before, &message].concat());
        }

        /// One record of any type that is nearly right is where a reader of records is tried hardest.
        #[cfg(feature = "dns")]
        #[test]
        fn any_record_can_be_read_and_shown(kind in 0_u16..300, data in prop::collection::vec(any::<u8>(), 0..60)) {
            let length = u16::try_from(data.len()).unwrap();
            let counts = [0, 1, 0, 0, 0, 0];
            let head = [0xc0, 12];
            let answer = [&[1][..], &counts, &head, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 9], &length.to_be_bytes(), &data];
            dns_answer(&answer.concat());
        }
    }
}
