//! The routes over a real store, by calls into the router and over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod agents;
mod authority;
mod certificates;
mod claims;
mod document;
mod doors;
mod fixture;
mod keys;
mod link;
mod malware;
mod operators;
mod place;
mod problems;
mod sessions;
mod socket;
