//! What follows from the samples of a run, at no cost of further packets: times, jitter, bursts of loss, and how a call would
//! sound.
mod bursts;
mod quality;
mod times;

pub(crate) use bursts::Chain;
pub use bursts::{Bursts, bursts};
pub use quality::{Quality, quality};
pub use times::{Jitter, Times, jitter, times};
pub(crate) use times::{Spread, times_after};
