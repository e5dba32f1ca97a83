//! How many files are asked about at once, and how fast: steered by what clamd and the machine say, within fixed caps.
mod governor;
mod pace;
mod pressure;
mod rate;
mod steering;

pub(super) use governor::{Governor, Leave};
pub(super) use pace::Pace;

/// Gives the calling thread the lowest priority, for as long as it lives: what it needs comes after everybody else. The
/// class of its disk accesses follows, where the scheduler of the disk goes by priorities at all.
pub(super) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::debug!(%error, "this thread keeps its priority");
    }
}

/// As `nice` counts.
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;
