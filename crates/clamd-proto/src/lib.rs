//! Speaks with clamd, the daemon of ClamAV 1.x: every command, by Unix socket and TCP, and every reply as a type.
//!
//! Three floors, each usable alone:
//!
//! - A codec that does no I/O: [`Command`] in, [`Decoder`] and [`Reply`], [`Version`], [`Stats`] out. Hostile names,
//!   cut and senseless replies are errors or read for what they are, never a panic.
//! - [`Daemon`], one command a connection, and [`Session`], many scans under way on one connection, each of which ends
//!   in exactly one outcome whatever becomes of the connection.
//! - [`Client`], a few sessions shared by any number of callers, which tries again what was lost. Programs are written
//!   against its trait, [`ClamAvClient`]; the feature `mock` has one for tests.
//!
//! It walks no directories, keeps no verdicts and has no opinion on what is done about malware. It is for Unix.
//!
//! ```no_run
//! use clamd_proto::{ClamAvClient, Client, ClientOptions};
//! use std::{fs::File, future::pending, sync::Arc};
//!
//! # async fn shown() -> Result<(), Box<dyn std::error::Error>> {
//! let (clamd, driver) = Client::new("unix:/run/clamav/clamd.ctl".parse()?, ClientOptions::default());
//! let scan = async {
//!     // The descriptor is passed: clamd needs no right to read the file.
//!     let file = Arc::new(File::open("/srv/upload")?);
//!     println!("{:?}", clamd.scan_file(file).await?);
//!     Ok(())
//! };
//! tokio::select! {
//!     done = scan => done,
//!     () = driver.run(pending()) => Ok(()),
//! }
//! # }
//! ```
#![cfg(unix)]
mod api;
mod client;
mod command;
mod connection;
mod content;
mod daemon;
mod decoder;
mod driver;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(feature = "mock")]
pub mod mock;
mod refusal;
mod reply;
mod sending;
mod session;
mod stats;
mod unix;
mod verdict;
mod version;

pub use api::ClamAvClient;
pub use client::{Client, ClientOptions, Retry};
pub use command::{Command, CommandError, MAX_COMMAND};
pub use content::Content;
pub use daemon::{Daemon, Timeouts, TreeScan};
pub use decoder::{Decoder, FrameError, MAX_REPLY};
pub use driver::Driver;
pub use endpoint::{Endpoint, ParseEndpointError};
pub use error::{ClamError, ErrorKind};
pub use refusal::{Refusal, RefusalKind};
pub use reply::{Reply, ReplyError, Subject, split_id};
pub use session::{Request, Session, SessionOptions};
pub use stats::{Job, Memory, Pool, PoolState, Stats, Threads, WaitingJobs, Waits};
pub use verdict::{Finding, Verdict};
pub use version::{DatabaseVersion, LocalTime, Version};
