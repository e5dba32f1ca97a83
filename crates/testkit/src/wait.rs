//! Waiting for what has no event to wait for.
use anyhow::{Result, bail};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How long anything here waits before it gives up. No working machine needs it; it only turns a hang into a failure.
pub const GUARD: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Asks `look` until it answers with something, and returns that.
///
/// For conditions in another process only; inside this one there is always an event to wait for.
///
/// # Errors
/// When it has not for [`GUARD`]; `what` names the thing waited for. An error of `look` ends the waiting at once.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + GUARD;
    // Nobody ever sends: receiving is a pause.
    let (_keep, pause) = channel::<()>();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("no {what} in {GUARD:?}");
        }
        pause.recv_timeout(PAUSE).ok();
    }
}
