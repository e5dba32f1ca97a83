//! Trace: by which routers packets go to a target, how surely and how soon they come to each, and where they end.
//!
//! A probe may be passed on by so many routers and no more, and whoever drops it for that says so. All probes of a flow have the same
//! addresses and ports, and echo requests the same checksum, so that routers which share their load send them one way; several
//! flows show several ways. Hops are probed side by side, and answers are matched by a token in what the probe
//! carried. It takes no rights but for echo requests.
//!
//! It does *not* know to whom a router belongs; [`names`] asks for what it is called.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use netcheck::trace::{Tracer, TraceOptions, TracerOptions};
//!
//! # if netcheck::icmp::access(false).is_err() { return Ok(()) }
//! let tracer = Tracer::start(TracerOptions::default())?;
//! let report = tracer.trace("127.0.0.1".parse().unwrap(), TraceOptions::default()).await;
//! for hop in &report.hops {
//!     println!("{} {:?} {:?}", hop.hop, hop.routers.first().map(|router| router.address), hop.loss);
//! }
//! assert!(report.reached, "{:?}", report.failure);
//! # Ok::<(), netcheck::Failure>(()) }).unwrap();
//! ```
mod again;
mod assemble;
mod change;
mod discovery;
mod local_mtu;
mod mtu;
#[cfg(feature = "dns")]
mod names;
mod options;
mod prober;
mod report;
mod tracer;
mod walk;

pub use change::{PathChange, PathLog};
pub use mtu::{MtuLimit, PathMtu, Place};
#[cfg(feature = "dns")]
pub use names::names;
pub use options::{COUNT_MOST, FLOWS_MOST, Protocol, TraceOptions};
pub use report::{Hop, Path, Router, TraceReport};
pub use tracer::{Tracer, TracerOptions};
