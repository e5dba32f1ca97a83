//! By what files are judged: what was judged between two answers that differ was judged by nobody knows what.
use super::{Judge, Sink};
use crate::scan::{basis, error::ScanError, sight};
use chrono::Utc;
use state_sqlite::{BasisId, StateError};
use std::time::Duration;
use tokio::time::Instant;

/// An answer about the signatures is good for so long.
const FRESH: Duration = Duration::from_secs(1);

impl<S: Sink> Judge<S> {
    /// Whether clamd may judge by other signatures than it last said.
    pub(super) fn is_unsure(&self) -> bool {
        self.confirmed_at.is_none_or(|at| at.elapsed() >= FRESH)
    }

    /// Asks by what clamd judges now. Where that is what it was, and it was found to detect, what was judged since is
    /// remembered; else nobody knows by what it was, and it is judged again the next time.
    ///
    /// # Errors
    /// When clamd does not say, or what was judged cannot be stored.
    pub(super) async fn confirm(&mut self) -> Result<(), ScanError> {
        let (version, basis) = basis::now(&self.daemon, &self.now.clamd)
            .await
            .map_err(ScanError::Clamd)?;
        self.version = Some(version);
        self.confirmed_at = Some(Instant::now());
        self.seen.basis = Some(basis.clone());
        self.want_sight();
        if !self.is_proved(sight::MEANWHILE) {
            if !self.waits_for_sight() {
                self.drop_unconfirmed();
            }
            return Ok(());
        }
        let Some(verdicts) = self.bench.verdicts.clone() else {
            return Ok(());
        };
        let mut judged = std::mem::take(&mut self.unconfirmed);
        for (dir, of_link) in self.bench.links.take_judged() {
            judged.entry(dir).or_default().push(of_link);
        }
        let known = self.basis;
        let work = move || -> Result<(BasisId, u64), StateError> {
            let now = Utc::now();
            let id = verdicts.use_basis(&basis, now)?;
            let mut moved = 0;
            if known == Some(id) {
                for (dir, mut judged) in judged {
                    judged.retain(|judged| judged.basis == id);
                    moved += verdicts.remember(dir, &judged, now)?.moved;
                }
                verdicts.flush(now)?;
            }
            Ok((id, moved))
        };
        let (id, moved) = tokio::task::spawn_blocking(work).await??;
        if known.is_some_and(|known| known != id) {
            tracing::info!("clamd judges by other signatures from now on: what was judged last is not remembered");
        }
        self.sink.moved(moved);
        self.basis = Some(id);
        Ok(())
    }

    /// The same where it may be done later.
    pub(super) async fn try_confirm(&mut self) {
        if let Err(error) = self.confirm().await {
            let error = error.in_the_middle();
            tracing::debug!(error, "clamd does not say by what it judges, or it cannot be kept");
        }
    }

    /// The last word about the signatures; and what waits is stored, whatever it is.
    pub(super) async fn confirm_at_last(&mut self) {
        // A clamd that never answered has judged nothing.
        let confirmed = if self.version.is_some() {
            let seen = if self.seen.is_believed {
                self.see(sight::AT_LAST).await
            } else {
                Ok(())
            };
            seen.and(self.confirm().await)
        } else {
            Ok(())
        };
        if let Err(error) = confirmed.and(self.flush().await) {
            let error = error.in_the_middle();
            tracing::warn!(
                error,
                "what was judged last is not remembered, and judged again the next time"
            );
        }
    }

    async fn flush(&self) -> Result<(), ScanError> {
        if let Some(verdicts) = self.bench.known.clone() {
            tokio::task::spawn_blocking(move || verdicts.flush(Utc::now())).await??;
        }
        Ok(())
    }
}
