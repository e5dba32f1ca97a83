//! Whoever stops a check wants to know what came until then; who stops it twice, that it ends at once.
use crate::{check::exit, live, out::to_stderr};
use daemon_kit::{Exit, Signal, Signals};
use futures_util::{Stream, StreamExt as _};
use netcheck::Failure;
use std::{future::pending, io, process, thread};
use tokio::{runtime, select, sync::watch};

/// The signals by which a check is stopped. The first is told to whoever asks here; the second ends the process.
#[derive(Debug)]
pub(crate) struct Stop {
    by: watch::Receiver<Option<Signal>>,
}

impl Stop {
    /// Takes the signals over; call it before the first probe is sent. They are awaited by a thread of their own, so that the
    /// second ends the process even while it is held up by a reader that does not read.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn take() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let inside = runtime.enter();
        let mut signals = Signals::take()?;
        drop(inside);
        let (tell, by) = watch::channel(None);
        let attend = async move {
            tell.send_replace(Some(signals.next().await));
            let second = signals.next().await;
            live::give_back_at_once();
            process::exit(second.exit_code().into())
        };
        let attend = move || runtime.block_on(attend);
        thread::Builder::new().name("signals".to_owned()).spawn(attend)?;
        Ok(Self { by })
    }

    /// Waits for the first signal; gives it at once where it has come.
    pub(crate) async fn asked(&self) -> Signal {
        let mut by = self.by.clone();
        let signal = by.wait_for(Option::is_some).await.ok().and_then(|by| *by);
        match signal {
            Some(signal) => signal,
            None => pending().await,
        }
    }

    /// The first signal, where it has come.
    fn by(&self) -> Option<Signal> {
        *self.by.borrow()
    }

    /// What came of the next target; nothing where that was the last, or somebody has stopped it.
    pub(crate) async fn next<T>(&self, all: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
        select! {
            // Results that are always ready would hide the signal.
            biased;
            _signal = self.asked() => None,
            one = all.next() => one,
        }
    }

    /// The exit status, when nothing is known of `unknown` of `all` targets, which are neither well nor not.
    pub(crate) fn exit<'f>(&self, failures: impl IntoIterator<Item = &'f Failure>, unknown: usize, all: usize) -> Exit {
        let exit = exit(failures);
        if unknown == 0 {
            return exit;
        }
        if let Some(signal) = self.by() {
            to_stderr(format_args!(
                "stopped by {signal}: nothing is known of {unknown} of {all} targets"
            ));
        }
        if exit == Exit::Done { Exit::Partial } else { exit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use netcheck::FailureKind;

    #[tokio::test]
    async fn results_that_are_always_ready_do_not_hide_the_signal() {
        let (tell, by) = watch::channel(None);
        let stop = Stop { by };
        let mut results = stream::iter(0..);
        assert_eq!(stop.next(&mut results).await, Some(0));
        tell.send_replace(Some(Signal::Terminate));
        assert_eq!(stop.next(&mut results).await, None);
        assert_eq!(stop.asked().await, Signal::Terminate, "it stays known");
    }

    #[test]
    fn targets_of_which_nothing_is_known_make_a_part_of_it_and_hide_no_finding() {
        let (_tell, by) = watch::channel(Some(Signal::Interrupt));
        let stop = Stop { by };
        let refused = Failure::new(FailureKind::Refused, "");
        assert_eq!(stop.exit([], 0, 4), Exit::Done);
        assert_eq!(stop.exit([], 3, 4), Exit::Partial);
        assert_eq!(stop.exit([&refused], 3, 4), Exit::Findings);
    }
}
