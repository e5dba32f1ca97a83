//! Whoever stops a check wants to know what came until then.
use super::exit;
use daemon_kit::{Exit, Signal, Signals};
use futures_util::{Stream, StreamExt as _};
use netcheck::Failure;
use std::io;
use tokio::select;

/// The signals by which a check of many targets is stopped between one and the next.
pub(super) struct Stop {
    signals: Signals,
    by: Option<Signal>,
}

impl Stop {
    /// Takes the signals over, so that from here on they end in order.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new() -> io::Result<Self> {
        let signals = Signals::take()?;
        Ok(Self { signals, by: None })
    }

    /// What came of the next target; nothing where that was the last, or somebody stops it.
    pub(super) async fn next<T>(&mut self, all: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
        select! {
            biased;
            one = all.next() => one,
            signal = self.signals.next() => {
                self.by = Some(signal);
                None
            }
        }
    }

    /// The exit status, when `done` of all targets have been done with. Those of which nothing is known are neither well nor not.
    pub(super) fn exit<'f>(&self, failures: impl IntoIterator<Item = &'f Failure>, done: usize, all: usize) -> Exit {
        let exit = exit(failures);
        let Some(signal) = self.by.filter(|_| done < all) else {
            return exit;
        };
        eprintln!("stopped by {signal}: {done} of {all} targets were done with");
        if exit == Exit::Done { Exit::Partial } else { exit }
    }
}
