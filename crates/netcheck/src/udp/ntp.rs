//! What time it is elsewhere (NTP version 4, RFC 5905), asked as a client does.
use crate::{Failure, FailureKind};
use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The length of a packet without extensions.
const LENGTH: usize = 48;
/// From the beginning of 1900, where NTP counts from, to that of 1970.
const TO_1970: u64 = 2_208_988_800;
/// A stratum that says that there is none (MAXSTRAT); those above are reserved.
const UNSYNCHRONISED: u8 = 16;
/// A root that is further away than this makes a packet invalid (MAXDISP), in milliseconds.
const MOST_DISPERSION: f64 = 16_000.0;
/// Clocks that differ by more are not brought together: somebody has to look (PANICT), in milliseconds.
const PANIC: f64 = 1_000_000.0;
/// How much a clock may drift (PHI), as a share.
const DRIFT: f64 = 15e-6;
/// How fine a clock can be, as a power of two of seconds: not finer than a time of NTP tells, and not coarser than a second.
const PRECISIONS: RangeInclusive<i8> = -32..=0;

/// What a time server said.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NtpReply {
    /// How far its clock is ahead of ours, in milliseconds; below zero where ours is ahead. Nothing with a refusal.
    #[cfg_attr(feature = "serde", serde(rename = "offset_ms"))]
    pub offset: Option<f64>,
    /// How long the packets were on their way, there and back, in milliseconds; without the time that the server took.
    /// Not below zero. Nothing with a refusal.
    #[cfg_attr(feature = "serde", serde(rename = "delay_ms"))]
    pub delay: Option<f64>,
    /// How many servers stand between it and a clock: 1 has one itself, 0 is a refusal, 16 is not synchronised.
    pub stratum: u8,
    /// Whether a second is to be added, and whether the clock is synchronised at all.
    pub leap: Leap,
    /// What it takes the time from: the name of a sort of clock (stratum 1), else the IPv4 address of a server or a part
    /// of the hash of an IPv6 one.
    pub reference: String,
    /// Why it refuses to tell the time (a kiss code, RFC 5905, section 7.4), such as `RATE` or `DENY`; empty where it gives
    /// no reason.
    pub kiss: Option<String>,
    /// How fine its clock is, in milliseconds. Nothing with a refusal.
    #[cfg_attr(feature = "serde", serde(rename = "precision_ms"))]
    pub precision: Option<f64>,
    /// How long packets take between it and the clock at the root, there and back, in milliseconds. Nothing with a refusal,
    /// nor of a clock that is not synchronised.
    #[cfg_attr(feature = "serde", serde(rename = "root_delay_ms"))]
    pub root_delay: Option<f64>,
    /// How far it may be off the clock at the root, in milliseconds; nothing as above.
    #[cfg_attr(feature = "serde", serde(rename = "root_dispersion_ms"))]
    pub root_dispersion: Option<f64>,
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

/// What a reply says; nothing where it does not answer our request, and a failure where no server can mean it. `clock` is
/// when that was sent, and `took` is since then.
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
    let packet = Packet(packet);
    if packet.time(24) != cookie {
        return Ok(None);
    }
    let protocol = |what: String| Failure::new(FailureKind::Protocol, format!("{address} {what}"));
    packet.header().map_err(protocol)?;
    if packet.stratum() == 0 {
        return Ok(Some(packet.kiss()));
    }
    packet.said(clock, took).map(Some).map_err(protocol)
}

/// A packet, of which nothing is believed yet.
struct Packet<'a>(&'a [u8; LENGTH]);

impl Packet<'_> {
    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn time(&self, at: usize) -> u64 {
        u64::from(self.word(at)) << 32 | u64::from(self.word(at + 4))
    }

    const fn stratum(&self) -> u8 {
        self.0[1]
    }

    const fn leap(&self) -> Leap {
        match self.0[0] >> 6 {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::Unsynchronised,
        }
    }

    const fn reference(&self) -> [u8; 4] {
        [self.0[12], self.0[13], self.0[14], self.0[15]]
    }

    fn header(&self) -> Result<(), String> {
        let (version, mode, stratum) = (self.0[0] >> 3 & 7, self.0[0] & 7, self.stratum());
        if mode != 4 {
            return Err(format!("answered in mode {mode} of NTP, and a server has mode 4"));
        }
        if !(1..=4).contains(&version) {
            return Err(format!("answered in version {version} of NTP"));
        }
        if stratum > UNSYNCHRONISED {
            return Err(format!(
                "says that its stratum is {stratum}, and 16 is the last there is"
            ));
        }
        Ok(())
    }

    /// A refusal: nothing but its code means anything.
    fn kiss(&self) -> NtpReply {
        let code = text(self.reference());
        NtpReply {
            offset: None,
            delay: None,
            stratum: 0,
            leap: self.leap(),
            reference: code.clone(),
            kiss: Some(code),
            precision: None,
            root_delay: None,
            root_dispersion: None,
        }
    }

    fn said(&self, clock: SystemTime, took: Duration) -> Result<NtpReply, String> {
        let exponent = self.0[3].cast_signed();
        if !PRECISIONS.contains(&exponent) {
            return Err(format!(
                "says that its clock counts in steps of 2^{exponent} s, which none does"
            ));
        }
        let precision = 2f64.powi(exponent.into()) * 1e3;
        let (set, received, sent) = (self.time(16), self.time(32), self.time(40));
        if received == 0 || sent == 0 {
            return Err("answered without a time".to_owned());
        }
        // Differences of 64 bits that wrap: they are right across the end of an era, in 2036 for the first time.
        let there = millis(received.wrapping_sub(of_clock(clock)));
        let back = millis(sent.wrapping_sub(of_clock(clock + took)));
        let spent = millis(sent.wrapping_sub(received));
        let took = took.as_nanos() as f64 / 1e6;
        // Both clocks are read in steps and drift: no more than that may be amiss.
        let play = precision + took * DRIFT;
        if spent < -play {
            return Err(format!("says that it answered {:.3} ms before it was asked", -spent));
        }
        if spent > took + play {
            return Err(format!(
                "says that it took {spent:.3} ms to answer, and the answer was here after {took:.3} ms"
            ));
        }
        let stratum = self.stratum();
        let leap = self.leap();
        let is_synchronised = leap != Leap::Unsynchronised && stratum < UNSYNCHRONISED;
        let (root_delay, root_dispersion) = (f64::from(self.word(4)) / 65.536, f64::from(self.word(8)) / 65.536);
        if is_synchronised && root_delay / 2.0 + root_dispersion >= MOST_DISPERSION {
            return Err(format!(
                "says that its root is {root_delay:.0} ms away and {root_dispersion:.0} ms uncertain: \
                 16 s and more is no time (RFC 5905, MAXDISP)"
            ));
        }
        if is_synchronised && set != 0 && millis(sent.wrapping_sub(set)) < -precision {
            return Err("says that its clock was set after it had answered".to_owned());
        }
        Ok(NtpReply {
            offset: Some(f64::midpoint(there, back)),
            delay: Some((took - spent).max(0.0)),
            stratum,
            leap,
            reference: match stratum {
                1 => text(self.reference()),
                _ => Ipv4Addr::from(self.reference()).to_string(),
            },
            kiss: None,
            precision: Some(precision),
            root_delay: is_synchronised.then_some(root_delay),
            root_dispersion: is_synchronised.then_some(root_dispersion),
        })
    }
}

impl NtpReply {
    /// Why its time is not to be used.
    pub(crate) fn unfit(&self, address: SocketAddr) -> Option<Failure> {
        let detail = match (&self.kiss, self.offset) {
            (Some(kiss), _) if kiss.is_empty() => {
                format!("{address} refuses to tell the time (stratum 0), and gives no reason")
            }
            (Some(kiss), _) => format!("{address} refuses to tell the time: {kiss}{}", meaning(kiss)),
            _ if self.leap == Leap::Unsynchronised || self.stratum >= UNSYNCHRONISED => {
                let Self { stratum, leap, .. } = self;
                format!("the clock of {address} is not synchronised (stratum {stratum}, leap {leap:?})")
            }
            (None, Some(offset)) if offset.abs() > PANIC => {
                let (seconds, direction) = (offset.abs() / 1e3, if offset > 0.0 { "ahead of" } else { "behind" });
                format!(
                    "the clock of {address} is {seconds:.0} s {direction} that of this machine: one of the two is wrong, \
                     and clients stop at 1000 s (RFC 5905, PANICT)"
                )
            }
            _ => return None,
        };
        Some(Failure::new(FailureKind::Unexpected, detail))
    }
}

fn meaning(kiss: &str) -> &'static str {
    match kiss {
        "RATE" => ", it is asked too often",
        "DENY" | "RSTR" => ", its rules forbid it",
        "INIT" | "STEP" => ", it has just been started or set, and is not synchronised",
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
mod tests;
