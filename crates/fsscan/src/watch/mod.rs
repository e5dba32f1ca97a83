//! Tells which regular files below chosen directories were written, within a second.
//!
//! A [`Watch`] has a thread of its own, which sleeps until something happens, and is asked by a task of the caller's. A file
//! is told once it has rested for [`debounce`](WatchRequest::debounce), at the latest after
//! [`latest`](WatchRequest::latest), and no more often than that. Nobody who writes is made to wait, and nothing is opened
//! but directories, so that pipes and sockets hold nobody up.
//!
//! What cannot be told is told to be [`Lost`]: a queue that ran over, more files than may wait, a directory that cannot
//! be watched. Who scans what is lost, and scans once after [`Watched::Watching`], misses nothing but what is listed here.
//!
//! # What is told
//! - Files closed after writing, by whatever path, also from a container; files renamed, moved or linked to where they are.
//! - Everything in a directory that appears: made, moved (also within the root), or mounted there; in a root that appears.
//! - A file is told by the name that it had then. One that was moved before it could be opened is told again by its new one.
//!
//! # What is not seen
//! - Writes through a shared mapping, and into a file that stays open, until somebody closes it after writing. A file that is
//!   made and stays open is told once as soon as something is in it.
//! - `truncate` by path, which opens nothing, and changes of mode, owner and times.
//! - What other machines write on a network file system, and what is below a FUSE or overlay mount written at its source.
//! - A directory that a mount shows at two places is told by one of them, a file with several names by the one that it
//!   was written by.
//! - Ignore files (`.gitignore`) are not read.
//!
//! ```
//! use fsscan::{RootRequest, watch::{Watch, WatchRequest, Watched}};
//! use std::io::Read;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let top = tempfile::tempdir()?;
//! let mut request = WatchRequest::new(vec![RootRequest::new(top.path())]);
//! request.ignore = vec!["*.tmp".to_owned()];
//! let mut watch = Watch::begin(&request)?;
//! while let Some(watched) = watch.next().await {
//!     match watched {
//!         // From here on nothing is missed: scan what was there before.
//!         Watched::Watching { .. } => std::fs::write(top.path().join("a.txt"), "hello")?,
//!         Watched::Written(written) => {
//!             let mut text = String::new();
//!             written.open()?.read_to_string(&mut text)?;
//!             assert_eq!(text, "hello");
//!             break;
//!         }
//!         Watched::Lost(lost) => println!("scan {}: {}", lost.below.display(), lost.why.name()),
//!         Watched::Gone { path, .. } => println!("{} is not there", path.display()),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
mod counters;
#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod engine;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod engine;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing is watched on this system")
)]
mod pending;
mod request;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing is watched on this system")
)]
mod shared;
mod told;

pub use counters::{WatchCounters, WatchStats};
pub use request::{Method, WatchError, WatchRequest};
pub use told::{GoneWhy, Lost, LostWhy, Watched, Written};

use engine::Engine;
use shared::{Shared, Step};
use std::sync::Arc;
use tokio::{task::coop, time};

/// A watch. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    _engine: Engine,
}

impl Watch {
    /// Begins to watch. That a root is watched whole is told by [`Watched::Watching`]; one that is not there is told as
    /// [`Watched::Gone`] and watched when it appears.
    ///
    /// # Errors
    ///
    /// See [`WatchError`].
    pub fn begin(request: &WatchRequest) -> Result<Self, WatchError> {
        let rooted = request.rooted()?;
        let shared = Arc::new(Shared::new(request, &rooted));
        let engine = Engine::start(request, rooted, Arc::clone(&shared))?;
        Ok(Self {
            shared,
            _engine: engine,
        })
    }

    /// What is told next, or `None` when the watch broke down and tells nothing any more; the log says why.
    ///
    /// It may be dropped before it completes, and loses nothing. While nobody asks, writes gather, each file once, up to
    /// [`max_pending`](WatchRequest::max_pending).
    pub async fn next(&mut self) -> Option<Watched> {
        coop::consume_budget().await;
        loop {
            match self.shared.step() {
                Step::Tell(watched) => return Some(watched),
                Step::End => return None,
                Step::Wait(None) => self.shared.woken().await,
                Step::Wait(Some(until)) => {
                    // Whichever comes first: both have the table looked at anew.
                    let _either = time::timeout_at(until.into(), self.shared.woken()).await;
                }
            }
        }
    }

    /// Counters, which stay readable while a task waits in [`next`](Watch::next).
    pub fn counters(&self) -> Arc<WatchCounters> {
        Arc::clone(&self.shared.counters)
    }
}
