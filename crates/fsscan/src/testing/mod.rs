//! For tests: a tree in memory, a model of a server, and random mutations of real directories against a slow and
//! simple oracle. Nothing here changes how a scan works.
mod memory;
#[cfg(unix)]
mod mutate;
mod random;
mod server;
#[cfg(unix)]
mod soak;
#[cfg(unix)]
mod truth;

pub use memory::{MemoryTree, MemoryTreeError};
#[cfg(unix)]
pub use mutate::mutate;
pub use random::Random;
pub use server::{Captured, Event, ModelServer, ServerEncoder, ServerFile};
#[cfg(unix)]
pub use soak::{SoakReport, soak};
#[cfg(unix)]
pub use truth::{Snapshot, expected_events};
