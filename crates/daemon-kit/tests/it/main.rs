//! daemon-kit from the outside: real files, real signals, tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod configuration;
mod finding;
mod sections;
#[cfg(unix)]
mod signals;
mod supervision;
#[cfg(target_os = "linux")]
mod systemd;
