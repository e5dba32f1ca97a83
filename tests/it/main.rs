//! Journeys: what a person does with the released programs, and what must then be true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod configuration;
mod guard;
mod journey;
mod keys;
mod local;
mod outage;
mod watching;
