//! Scanning for malware: an [`Engine`] for whoever wants something scanned, and `reef-agent scan`, which is one of them.
mod account;
mod ageing;
mod bar;
mod basis;
mod collect;
pub(crate) mod command;
mod detection;
mod dry;
mod engine;
mod error;
mod failures;
mod job;
mod judge;
mod links;
mod oldest;
mod plan;
mod progress;
mod proof;
mod queue;
mod report;
mod single;
#[cfg(test)]
mod tests;
mod throttle;
mod visit;
mod walk;
mod wanted;
mod watched;
mod wire;

pub(crate) use account::End;
pub(crate) use detection::{Detection, event_id};
pub(crate) use engine::{Engine, EngineSettings};
pub(crate) use error::ScanError;
pub(crate) use progress::{Progress, Snapshot};
pub(crate) use queue::{WatchQueue, Watched, WatchedFiles, watch_queue};
pub(crate) use report::Report;
pub(crate) use wanted::{How, Wanted};
