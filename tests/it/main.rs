//! Journeys: what a person does with the released programs, and what must then be true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[cfg(unix)]
mod bounds;
#[cfg(unix)]
mod certificates;
#[cfg(unix)]
mod commands;
mod configuration;
#[cfg(unix)]
mod controller;
#[cfg(unix)]
mod copies;
#[cfg(unix)]
mod daemon;
#[cfg(unix)]
mod daemon_log;
mod damage;
#[cfg(unix)]
mod detections;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod document;
#[cfg(unix)]
mod explain;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod fleet;
#[cfg(unix)]
mod full;
mod guard;
mod journey;
mod keys;
mod local;
#[cfg(unix)]
mod matrix;
mod outage;
mod place;
#[cfg(unix)]
mod pushed;
mod reef;
#[cfg(unix)]
mod reload;
#[cfg(unix)]
mod rotation;
#[cfg(unix)]
mod secrets;
#[cfg(unix)]
mod smotra;
#[cfg(unix)]
mod smotra_live;
mod smotra_names;
#[cfg(target_os = "linux")]
mod smotra_net;
#[cfg(unix)]
mod smotra_stop;
#[cfg(unix)]
mod store;
#[cfg(unix)]
mod telemetry;
mod tls;
mod versions;
mod watching;
