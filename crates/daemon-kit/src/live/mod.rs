//! Configuration that changes while the process runs.
//!
//! A product says by types what of its settings takes effect at the next start only ([`Reload::Boot`]) and what at any
//! time ([`Reload::Live`]). A [`Reloader`] loads everything anew when a file changes, on SIGHUP, and when a controller
//! sends a version; what is wrong changes nothing and is told. The latest [`Reload::Live`] travels by `watch`: each task
//! borrows it at the beginning of each round, and keeps no copy.
mod keys;
mod reloader;
mod remote;
mod report;
mod watcher;

pub use keys::keys_of;
pub(crate) use reloader::with_controller;
pub use reloader::{Reloader, ReloaderHandle, StartError};
pub use remote::{RemoteConfig, RemoteError};
pub use report::{ReloadCause, ReloadOutcome, ReloadProblem, ReloadReport};

use crate::cli::Product;
use serde::Serialize;

/// Settings of which some can change while the process runs.
///
/// Both parts serialise to the keys that they have in the configuration: by that a change is named. Every key belongs to
/// exactly one of them.
pub trait Reload: Product {
    /// What takes effect at the next start.
    type Boot: Serialize + Send + Sync + 'static;

    /// What takes effect at once.
    type Live: Serialize + PartialEq + Send + Sync + 'static;

    /// Keys and sections that a controller must never set: where the agent reports, its keys, what it may do.
    const LOCAL_ONLY: &'static [&'static str];

    /// Tells the parts apart.
    fn split(self) -> (Self::Boot, Self::Live);

    /// What of a controller's wish this machine does not allow, each with its key: `local` is the configuration without
    /// that wish.
    fn exceeds(&self, local: &Self) -> Vec<(String, String)> {
        let _ = local;
        Vec::new()
    }
}
