//! What time it is elsewhere (NTP version 4, RFC 5905), asked as a client does.
use crate::{Failure, FailureKind};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The length of a packet without extensions.
const LENGTH: usize = 48;
/// From the beginning of 1900, where NTP counts from, to that of 1970.
const TO_1970: u64 = 2_208_988_800;
/// A stratum that says that there is none.
const UNSYNCHRONISED: u8 = 16;

/// What a time server said.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NtpReply {
    /// How far its clock is ahead of ours, in milliseconds; below zero where ours is ahead. Nothing with a refusal.
    #[cfg_attr(feature = "serde", serde(rename = "offset_ms"))]
    pub offset: Option<f64>,
    /// How long the packets were on their way, there and back, in milliseconds; without the time that the server took.
    /// Nothing with a refusal.
    #[cfg_attr(feature = "serde", serde(rename = "delay_ms"))]
    pub delay: Option<f64>,
    /// How many servers stand between it and a clock: 1 has one itself, 0 is a refusal, 16 is not synchronised.
    pub stratum: u8,
    /// Whether a second is to be added, and whether the clock is synchronised at all.
    pub leap: Leap,
    /// What it takes the time from: the name of a sort of clock (stratum 1), else the IPv4 address of a server or a part
    /// of the hash of an IPv6 one.
    pub reference: String,
    /// Why it refuses to tell the time (a kiss code, RFC 5905, section 7.4), such as `RATE` or `DENY`.
    pub kiss: Option<String>,
    /// How fine its clock is, in milliseconds.
    #[cfg_attr(feature = "serde", serde(rename = "precision_ms"))]
    pub precision: f64,
    /// How long packets take between it and the clock at the root, there and back, in milliseconds.
    #[cfg_attr(feature = "serde", serde(rename = "root_delay_ms"))]
    pub root_delay: f64,
    /// How far it may be off the clock at the root, in milliseconds.
    #[cfg_attr(feature = "serde", serde(rename = "root_dispersion_ms"))]
    pub root_dispersion: f64,
}

/// What a server says about the end of the month, and about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Leap {
    /// Nothing.
    None,
    /// The last minute of the month has 61 seconds.
    Insert,
    /// The last minute of the month has 59 seconds.
    Delete,
    /// Its clock is not synchronised.
    Unsynchronised,
}

/// A request. Instead of our time it carries a number that nobody can guess: servers hand it back as it is.
pub(crate) fn request(cookie: u64) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    // Version 4, and the mode of a client.
    packet[0] = 4 << 3 | 3;
    packet[LENGTH - 8..].copy_from_slice(&cookie.to_be_bytes());
    packet
}

/// What a reply says; nothing where it does not answer our request. `clock` is when that was sent, and `took` is since
/// then.
pub(crate) fn judge(
    reply: &[u8],
    cookie: u64,
    address: SocketAddr,
    clock: SystemTime,
    took: Duration,
) -> Result<Option<NtpReply>, Failure> {
    let Some(packet) = reply.first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let time = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    if time(24) != cookie {
        return Ok(None);
    }
    let protocol = |what: String| Failure::new(FailureKind::Protocol, format!("{address} {what}"));
    let (leap, version, mode) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7);
    if mode != 4 {
        return Err(protocol(format!(
            "answered in mode {mode} of NTP, and a server has mode 4"
        )));
    }
    if !(1..=4).contains(&version) {
        return Err(protocol(format!("answered in version {version} of NTP")));
    }
    let stratum = packet[1];
    let reference = [packet[12], packet[13], packet[14], packet[15]];
    let (received, sent) = (time(32), time(40));
    if stratum != 0 && sent == 0 {
        return Err(protocol("answered without a time".to_owned()));
    }
    // Differences of 64 bits that wrap: they are right across the end of an era, in 2036 for the first time.
    let there = millis(received.wrapping_sub(of_clock(clock)));
    let back = millis(sent.wrapping_sub(of_clock(clock + took)));
    let spent = millis(sent.wrapping_sub(received));
    let is_kiss = stratum == 0;
    Ok(Some(NtpReply {
        offset: (!is_kiss).then(|| f64::midpoint(there, back)),
        delay: (!is_kiss).then(|| took.as_nanos() as f64 / 1e6 - spent),
        stratum,
        leap: match leap {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::Unsynchronised,
        },
        reference: match stratum {
            0 | 1 => text(reference),
            _ => Ipv4Addr::from(reference).to_string(),
        },
        kiss: is_kiss.then(|| text(reference)),
        precision: 2f64.powi(i32::from(packet[3] as i8)) * 1e3,
        root_delay: f64::from(word(4)) / 65.536,
        root_dispersion: f64::from(word(8)) / 65.536,
    }))
}

impl NtpReply {
    /// Why its time is not to be used.
    pub(crate) fn unfit(&self, address: SocketAddr) -> Option<Failure> {
        let detail = match &self.kiss {
            Some(kiss) => format!("{address} refuses to tell the time: {kiss}{}", meaning(kiss)),
            None if self.leap == Leap::Unsynchronised || self.stratum >= UNSYNCHRONISED => {
                let stratum = self.stratum;
                format!(
                    "the clock of {address} is not synchronised (stratum {stratum}, leap {:?})",
                    self.leap
                )
            }
            None => return None,
        };
        Some(Failure::new(FailureKind::Unexpected, detail))
    }
}

fn meaning(kiss: &str) -> &'static str {
    match kiss {
        "RATE" => ", it is asked too often",
        "DENY" | "RSTR" => ", its rules forbid it",
        "INIT" | "STEP" => ", it has just been started or set",
        _ => "",
    }
}

/// A time as NTP counts: seconds in the upper half, in which they wrap, and parts of one below.
fn of_clock(clock: SystemTime) -> u64 {
    let since = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(TO_1970) << 32 | parts
}

fn millis(difference: u64) -> f64 {
    difference.cast_signed() as f64 / 4_294_967.296
}

fn text(reference: [u8; 4]) -> String {
    let end = reference.iter().position(|byte| *byte == 0).unwrap_or(reference.len());
    reference.get(..end).unwrap_or_default().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: u64 = 0x0123_4567_89ab_cdef;

    fn address() -> SocketAddr {
        "192.0.2.1:123".parse().unwrap()
    }

    /// A reply of a server whose clock reads `clock` when it answers, and who takes a millisecond for it.
    fn reply(clock: SystemTime) -> [u8; LENGTH] {
        let mut packet = [0; LENGTH];
        packet[..4].copy_from_slice(&[4 << 3 | 4, 2, 6, (-20_i8) as u8]);
        packet[12..16].copy_from_slice(&[198, 51, 100, 7]);
        packet[24..32].copy_from_slice(&COOKIE.to_be_bytes());
        packet[32..40].copy_from_slice(&of_clock(clock - Duration::from_millis(1)).to_be_bytes());
        packet[40..48].copy_from_slice(&of_clock(clock).to_be_bytes());
        packet
    }

    fn judged(packet: &[u8], clock: SystemTime) -> Result<Option<NtpReply>, Failure> {
        judge(packet, COOKIE, address(), clock, Duration::from_millis(5))
    }

    #[test]
    fn offset_and_delay_are_told_apart() {
        let clock = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        // Two milliseconds there, one to answer, two back; its clock is 250 ms ahead.
        let packet = reply(clock + Duration::from_millis(250 + 3));
        let said = judged(&packet, clock).unwrap().unwrap();
        let (offset, delay) = (said.offset.unwrap(), said.delay.unwrap());
        assert!((offset - 250.0).abs() < 1e-3 && (delay - 4.0).abs() < 1e-3, "{said:?}");
        assert_eq!(
            (said.stratum, said.leap, said.reference.as_str()),
            (2, Leap::None, "198.51.100.7")
        );
        assert!((said.precision - 0.000_953_674).abs() < 1e-6 && said.unfit(address()).is_none());
    }

    #[test]
    fn the_end_of_an_era_makes_no_difference() {
        // In 2036 the seconds begin again at zero: we are still before it, the server is past it.
        let end = UNIX_EPOCH + Duration::from_secs((1 << 32) - TO_1970);
        let clock = end - Duration::from_millis(1);
        let said = judged(&reply(end + Duration::from_millis(102)), clock)
            .unwrap()
            .unwrap();
        assert!((said.offset.unwrap() - 100.0).abs() < 1e-3, "{said:?}");
    }

    #[test]
    fn a_kiss_code_and_an_unsynchronised_clock_are_failures_with_their_reason() {
        let clock = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut packet = reply(clock);
        packet[1] = 0;
        packet[12..16].copy_from_slice(b"RATE");
        let said = judged(&packet, clock).unwrap().unwrap();
        assert_eq!((said.kiss.as_deref(), said.offset), (Some("RATE"), None));
        assert!(
            said.unfit(address())
                .unwrap()
                .detail
                .contains("RATE, it is asked too often")
        );
        let mut packet = reply(clock);
        packet[0] |= 0b1100_0000;
        let said = judged(&packet, clock).unwrap().unwrap();
        assert!(said.unfit(address()).unwrap().detail.contains("not synchronised"));
    }

    #[test]
    fn a_reply_to_somebody_else_is_none_and_one_of_another_mode_is_a_failure() {
        let clock = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut packet = reply(clock);
        packet[31] ^= 1;
        assert_eq!(judged(&packet, clock), Ok(None));
        assert_eq!(judged(&packet[..47], clock), Ok(None));
        let mut packet = reply(clock);
        packet[0] = 4 << 3 | 3;
        assert_eq!(judged(&packet, clock).unwrap_err().kind, FailureKind::Protocol);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80), ours: bool) {
            if let Some(origin) = bytes.get_mut(24..32).filter(|_| ours) {
                origin.copy_from_slice(&COOKIE.to_be_bytes());
            }
            if let Ok(Some(said)) = judged(&bytes, SystemTime::now()) {
                prop_assert!(said.offset.is_none_or(f64::is_finite) && said.delay.is_none_or(f64::is_finite));
                prop_assert_eq!(said.offset.is_none(), said.kiss.is_some());
            }
        }
    }
}
