//! fleet-link from the outside: a real queue in a real SQLite file, a real server on a port of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod agent;
mod claims;
mod credentials;
mod delivery;
mod document;
mod enrolment;
mod faults;
mod files_v1;
mod leaving;
mod link;
mod presence;
mod rig;
mod rotation;
mod scripted;
mod server;
mod soak;
mod streams;
