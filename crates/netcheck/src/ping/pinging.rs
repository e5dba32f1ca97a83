//! A run from the outside: what whoever asked for it holds.
use super::{
    report::PingReport,
    run::{Asked, End, Run},
};
use crate::{Failure, FailureKind};
use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};
#[cfg(test)]
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, error::RecvError};

/// A run under way: a future of its report.
pub struct Pinging {
    address: IpAddr,
    end: oneshot::Receiver<End>,
}

/// The two ends of a run: the engine's, and that of who waits.
pub(super) fn ask(run: Run) -> (Asked, Pinging) {
    let address = run.address();
    let (done, end) = oneshot::channel();
    let run = Box::new(run);
    (Asked { run, done }, Pinging { address, end })
}

impl Pinging {
    /// Waits for the report without a runtime.
    ///
    /// # Panics
    /// Inside one, as [`oneshot::Receiver::blocking_recv`] does.
    #[must_use]
    pub fn wait(self) -> PingReport {
        let Self { address, end } = self;
        report(address, end.blocking_recv())
    }

    /// The report, where the run is over.
    #[cfg(test)]
    pub(super) fn now(&mut self) -> Option<PingReport> {
        match self.end.try_recv() {
            Err(TryRecvError::Empty) => None,
            Ok(end) => Some(report(self.address, Ok(end))),
            Err(TryRecvError::Closed) => panic!("the run was dropped, or its report taken already"),
        }
    }
}

impl Future for Pinging {
    type Output = PingReport;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<PingReport> {
        let address = self.address;
        Pin::new(&mut self.end).poll(context).map(|end| report(address, end))
    }
}

impl fmt::Debug for Pinging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinging")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn report(address: IpAddr, end: Result<End, RecvError>) -> PingReport {
    let gone = |_| Err(Failure::new(FailureKind::System, "the engine for pings has ended"));
    match end.unwrap_or_else(gone) {
        Ok(over) => over.report(),
        Err(failure) => PingReport::not_begun(address, failure),
    }
}
