//! Checks of real sockets and real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod dns;
mod dns_hostile;
mod http;
mod network;
mod ping;
#[cfg(target_os = "linux")]
mod ping_net;
mod serve;
mod source;
mod tcp;
mod tls;
mod trace_net;
mod udp;
