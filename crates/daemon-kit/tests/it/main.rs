//! daemon-kit from the outside: real files, real signals, tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bundle;
mod cli;
mod configuration;
#[cfg(unix)]
mod doctor;
mod finding;
mod periodic;
#[cfg(unix)]
mod running;
mod sections;
#[cfg(unix)]
mod signals;
mod steps;
mod supervision;
#[cfg(target_os = "linux")]
mod systemd;
mod telemetry;
