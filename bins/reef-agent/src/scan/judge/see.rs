//! Nothing that clamd calls clean is remembered, or believed, unless it finds a test file.
use super::{Judge, Sink};
use crate::{
    keeper,
    scan::{error::ScanError, sight},
};
use core_model::chain;
use state_sqlite::Basis;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a scan that was stopped waits for the last test file.
const AFTER_A_STOP: Duration = Duration::from_secs(10);

/// Whether clamd detects, as far as one judge knows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What clamd said last that it judges by.
    pub(super) basis: Option<Basis>,
    /// When it last called the test file clean; none once it has found it.
    blind_at: Option<Instant>,
    /// It ever called the test file clean.
    pub(super) was_blind: bool,
    /// When it last gave no verdict on it.
    no_verdict_at: Option<Instant>,
    /// A test file is to be sent before more is judged.
    pub(super) is_wanted: bool,
    /// Something was called clean since it was last found.
    pub(super) is_believed: bool,
}

impl<S: Sink> Judge<S> {
    /// Whether clamd calls malware clean, as far as is known.
    pub(super) const fn is_blind(&self) -> bool {
        self.seen.blind_at.is_some()
    }

    /// Whether clamd was found to detect, within so long, by what it judges by.
    pub(super) fn is_proved(&self, within: Duration) -> bool {
        if !self.now.canary {
            return true;
        }
        let of = self.instance();
        let basis = self.seen.basis.as_ref();
        basis.is_some_and(|basis| self.bench.sights.is_proved(&of, basis, within))
    }

    /// Whether it is to be tried, where it was not within so long.
    fn is_due(&self, within: Duration) -> bool {
        let rests = |at: Option<Instant>, long| at.is_some_and(|at: Instant| at.elapsed() < long);
        !self.is_proved(within)
            && !rests(self.seen.blind_at, sight::AGAIN)
            && !rests(self.seen.no_verdict_at, sight::AT_FIRST)
    }

    /// Has a test file sent before more is asked, where one is due.
    pub(super) fn want_sight(&mut self) {
        self.seen.is_wanted |= self.is_due(sight::MEANWHILE);
    }

    /// Sends a test file where clamd was not found to detect within so long. No session is open meanwhile, whose answers would
    /// have to wait.
    ///
    /// # Errors
    /// When clamd is away, or does not come to it.
    pub(super) async fn see(&mut self, within: Duration) -> Result<(), ScanError> {
        self.seen.is_wanted = false;
        if !self.is_due(within) {
            return Ok(());
        }
        let Some(basis) = self.seen.basis.clone() else {
            return Ok(());
        };
        let (of, at) = (self.instance(), Instant::now());
        let endpoint = self.endpoint.clone();
        let asked = keeper::is_found(&endpoint);
        tokio::pin!(asked);
        let answer = tokio::select! {
            answer = &mut asked => answer,
            // What was judged is to be remembered, if that does not take long.
            () = self.bench.stop.cancelled() => match timeout(AFTER_A_STOP, asked).await {
                Ok(answer) => answer,
                Err(_) => return Ok(()),
            },
        };
        match answer {
            Ok(true) => {
                if self.seen.blind_at.take().is_some() {
                    tracing::info!("clamd detects again: it found the test file");
                }
                (self.seen.no_verdict_at, self.seen.is_believed) = (None, false);
                self.bench.sights.proved(of, basis, at);
                Ok(())
            }
            Ok(false) => {
                self.lose_sight(basis).await;
                Ok(())
            }
            Err(error) if error.is_passing() => Err(ScanError::Clamd(error)),
            Err(error) => {
                self.seen.no_verdict_at = Some(at);
                let error = chain(&error);
                tracing::warn!(
                    error,
                    "clamd gave no verdict on the test file: what it judges is not remembered, until it does"
                );
                Ok(())
            }
        }
    }

    /// clamd does not detect: what was judged by the same counts no more, now and before.
    async fn lose_sight(&mut self, basis: Basis) {
        if self.seen.blind_at.replace(Instant::now()).is_none() {
            tracing::error!(
                "clamd answers and does not detect: it called the test file of the antivirus industry (EICAR) clean; what \
                 it calls clean counts as failed"
            );
        }
        self.seen.was_blind = true;
        self.bench.sights.saw(false);
        self.drop_unconfirmed();
        self.basis = None;
        let known = self.bench.known.clone();
        sight::distrust(move || known, basis).await;
    }

    /// What was judged and is not sure is not remembered.
    pub(super) fn drop_unconfirmed(&mut self) {
        self.unconfirmed.clear();
        drop(self.bench.links.take_judged());
    }

    /// Whether what was judged waits for a test file that is on its way.
    pub(super) const fn waits_for_sight(&self) -> bool {
        self.seen.no_verdict_at.is_none() && !self.is_blind()
    }
}
