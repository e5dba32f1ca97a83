//! The state on real files: what a crash, damage and other programs do to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod crash;
mod edges;
mod opening;
mod outbox;
mod tree;

use chrono::{DateTime, Utc};
use core_model::Run;
use state_sqlite::{Database, OpenOptions};
use std::path::Path;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn open(path: &Path) -> Database {
    Database::open(path, OpenOptions::default()).unwrap()
}

fn run(records: u32, body: &[u8]) -> Run {
    Run {
        records,
        body: body.to_vec(),
    }
}
