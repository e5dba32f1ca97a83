//! The state on real files: what a crash, damage and other programs do to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod backups;
mod bounds;
mod checksums;
mod commands;
mod crash;
mod damage;
mod edges;
mod forgery;
mod full;
mod journal;
mod kill;
mod migrations;
mod opening;
mod outbox;
mod recovery;
mod rollback;
mod stream;
mod tree;
mod verdicts;
mod verdicts_kill;
mod verdicts_store;

use chrono::{DateTime, Utc};
use core_model::Run;
use state_sqlite::{Database, OpenOptions};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Waits for what another thread is about to do.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "it never came to pass");
        thread::yield_now();
    }
}

/// A file beside another.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

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
