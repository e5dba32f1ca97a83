//! Ping: one socket a family for any number of targets, answers matched by a token in the payload, times from the kernel.
//!
//! What sets it apart from pinging with a socket for each target, or with the 16-bit numbers of ICMP, is that nothing of it
//! ends at some thousand targets; and that loss which this machine caused is told from loss of the network (see
//! [`Trust`](crate::Trust)).
pub(crate) mod clock;
mod core;
mod engine;
mod history;
mod matching;
mod options;
mod past;
mod pinger;
mod pinging;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod timeline;
mod wires;

pub use self::core::Counters;
pub(crate) use options::wrong_times;
pub use options::{COUNT_MOST, ENDLESS, PingOptions, REMEMBERED};
pub use pinger::{Pinger, PingerOptions};
pub use pinging::Pinging;
pub use report::{Outcome, PingReport, Sample};
