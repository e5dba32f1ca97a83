//! The fleet over a real SQLite file: what is promised holds across threads, orders of arrival and restarts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod claims;
mod document;
mod files;
mod fixture;
mod identity;
mod ingest;
mod interleaving;
mod keys;
mod link;
mod malware;
mod malware_again;
mod malware_compliance;
mod malware_lists;
mod malware_order;
mod place;
mod recovery;
mod registry;
mod restart;
mod snapshot;
