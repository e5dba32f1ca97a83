//! The scanner against real file systems.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod changes;
mod contents;
mod errors;
mod explain;
mod holding;
mod lab;
mod links;
mod names;
mod roots;
mod rules;
mod snapshot;
mod soak;
mod walk;
mod walk_races;
mod walk_rules;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(target_os = "linux")]
mod watch_fanotify;
#[cfg(target_os = "linux")]
mod watch_soak;
