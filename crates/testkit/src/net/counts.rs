//! What the link of a topology really did.
use std::collections::BTreeMap;
use std::time::Duration;

/// What the link did to each direction since it was last set: see [`Topology::counts`](super::Topology::counts).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// What came from A's side.
    pub toward_b: DirectionCounts,
    /// What came from B's side.
    pub toward_a: DirectionCounts,
}

/// What the link did to the packets of one direction. Unicast packets only: what hosts and routers tell their neighbours
/// (such as reports of multicast listeners) is dropped and counts as nothing.
///
/// `received` is always `delivered`, [`dropped`](Self::dropped) and `under_way` together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounts {
    /// Packets that came in.
    pub received: u64,
    /// Packets that went out, without copies.
    pub delivered: u64,
    /// Copies that went out besides.
    pub duplicated: u64,
    /// Packets lost each for itself.
    pub lost: u64,
    /// Packets lost in bursts.
    pub lost_in_bursts: u64,
    /// Bursts begun.
    pub bursts: u64,
    /// Packets dropped for their size.
    pub too_big: u64,
    /// Packets lost because the link was cut.
    pub cut: u64,
    /// Packets dropped because too many were held, or because the far side's kernel would not take them; a test in which
    /// this is not 0 has asked for more than the link can do.
    pub overrun: u64,
    /// Packets held just now.
    pub under_way: u64,
    /// Packets that were not held, to overtake others.
    pub hurried: u64,
    /// Packets that went out after one that had come in later, by chance of jitter or behind a hurried one: those that RFC 4737
    /// calls reordered. Copies do not count.
    pub reordered: u64,
    /// How often so many packets in a row were dropped, for whatever reason, by the length of the run; the one that goes on
    /// just now too.
    pub loss_runs: BTreeMap<u64, u64>,
    /// How long those that went out were held.
    pub held: Held,
}

impl DirectionCounts {
    /// Packets that came in and never went out.
    pub const fn dropped(&self) -> u64 {
        self.lost + self.lost_in_bursts + self.too_big + self.cut + self.overrun
    }

    /// The share of packets dropped, from 0 to 1; 0 where none came in.
    pub fn loss(&self) -> f64 {
        self.dropped() as f64 / self.received.max(1) as f64
    }

    /// The most packets dropped in a row.
    pub fn longest_loss_run(&self) -> u64 {
        self.loss_runs.last_key_value().map_or(0, |(length, _)| *length)
    }
}

/// How long packets were really held, from when the link had read one to when it began to write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The shortest time; nothing before the first packet.
    pub min: Duration,
    /// The longest time.
    pub max: Duration,
    /// All times together: divided by [`DirectionCounts::delivered`] the mean.
    pub total: Duration,
}

impl Held {
    /// Adds a packet; `first` when it is the first.
    pub(super) fn add(&mut self, time: Duration, first: bool) {
        self.min = if first { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.total += time;
    }
}
