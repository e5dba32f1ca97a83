//! What the link of a topology is told to do.
use std::time::Duration;

/// What happens to the packets of one direction of the link, or of both. [`Default`] passes all of them on at once.
///
/// A probability is from 0 to 1; what lies outside counts as the nearer of these. Each packet meets its fate in this order:
/// cut, black hole, burst, loss, delay, duplication. The dice are thrown from a seed: the n-th packet after
/// [`Topology::link`](super::Topology::link) fares the same in each run with the same settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkSettings {
    /// How long each packet is held. It is held that long at least; the kernel's scheduler adds some microseconds on an idle
    /// machine, and whatever it likes on a busy one: [`DirectionCounts::held`](super::DirectionCounts::held) has the truth.
    pub delay: Duration,
    /// The delay is taken evenly from `delay - jitter` to `delay + jitter`, though never below nothing. Packets sent closer
    /// to each other than that overtake each other.
    pub jitter: Duration,
    /// The probability that a packet is lost, each for itself.
    pub loss: f64,
    /// Losses that come in bursts, besides.
    pub burst: Option<Burst>,
    /// The probability that a packet comes twice, the copy right behind it.
    pub duplication: f64,
    /// The probability that a packet is not held, and so overtakes those that are. Nothing happens without a delay.
    pub reordering: f64,
    /// Packets of more than this many bytes, from the IP header to the end, vanish without an ICMP message: a black hole of
    /// path MTU discovery.
    pub black_hole_above: Option<usize>,
}

/// Gilbert's model of losses in bursts: a packet begins a burst with some probability, and all are lost until it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The probability that a packet outside a burst begins one; it is lost too.
    pub enter: f64,
    /// How many packets a burst takes on average; 1 and less are single losses.
    pub mean_length: f64,
}
