//! Network checks that say whether they can be trusted.
//!
//! A check is a function from a target and its options to a report. A target that does not answer is a report like any
//! other, with a [`Failure`] that tells what happened and what to do about it; loss that this machine caused itself is never
//! reported as loss of the network.
//!
//! It does *not* keep a schedule, remember anything, send results anywhere or alert anybody: that is for whoever links it.
//!
//! ```
//! use netcheck::ping::{PingOptions, Pinger, PingerOptions};
//!
//! # if netcheck::icmp::access(false).is_err() { return Ok(()) }
//! let pinger = Pinger::start(PingerOptions::default())?;
//! let options = PingOptions { count: 1, ..PingOptions::default() };
//! let report = pinger.ping("127.0.0.1".parse().unwrap(), options).wait();
//! assert_eq!(report.loss, Some(0.0), "{:?}", report.failure);
//! # Ok::<(), netcheck::Failure>(())
//! ```
#![cfg(unix)]
mod datagram;
#[cfg(feature = "tls")]
mod dial;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(target_os = "linux")]
mod errqueue;
mod failure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(feature = "http")]
pub mod http;
pub mod icmp;
pub mod measure;
#[cfg(feature = "serde")]
mod millis;
mod one_host;
pub mod ping;
mod reach;
mod resolve;
mod response_code;
mod socket;
mod source;
pub mod target;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;
mod trust;
pub mod udp;

pub use failure::{Failure, FailureKind};
pub use resolve::{Family, Resolved, resolve};
pub use trust::{Doubt, Trust};
