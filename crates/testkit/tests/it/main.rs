//! The parts at work on real processes, a real file system and real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod certificates;
#[cfg(unix)]
mod clamd;
#[cfg(unix)]
mod dns;
#[cfg(target_os = "linux")]
mod net;
mod otlp;
mod process;
mod proxy;
mod recorder;
mod tree;
mod wire;
