//! What is wrong with an installation, and the remedy: findings, their report, and the checks that every product needs.
//!
//! A product runs the checks it wants, adds findings of its own, and prints the [`Report`]:
//!
//! ```
//! use core_model::ByteSize;
//! use daemon_kit::doctor::{self, Report, Verdict};
//!
//! let dir = std::env::temp_dir();
//! let mut report = Report::default();
//! report.add(doctor::disk("free space", &dir, ByteSize::new(1), 0));
//! report.add(doctor::outcome("state", Err::<String, _>("page 7 is damaged"), "run `scanner state restore`"));
//! assert_eq!(report.worst(), Verdict::Failure);
//! assert_eq!(report.exit().code(), 4);
//! assert!(report.to_string().contains("✗ state"));
//! ```
//!
//! Nothing here repairs anything, and no finding holds a secret.

mod address;
mod config;
mod files;
mod finding;
mod process;
mod report;
mod resolve;
mod server;
mod style;

pub use address::listen_address;
pub use config::{config_permissions, configuration};
pub use files::{credentials, data_dir, disk};
pub use finding::{Finding, Verdict, outcome};
pub use process::{file_descriptors, other_process, proxy_variables};
pub use report::Report;
pub use server::server;
pub use style::Style;
