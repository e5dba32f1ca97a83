//! Whether clamd detects: by a harmless test file that it must find, before what it calls clean is remembered.
//!
//! A clamd whose signatures are gone answers, and calls everything clean. So no verdict is remembered by what was not proved
//! to detect, and where clamd is found not to, all that was judged by the same counts as never judged.
use super::{basis, engine::Engine, proof::Instance};
use chrono::Utc;
use clamd_proto::{Daemon, Endpoint};
use core_model::chain;
use fleet_wire::MalwareScan;
use state_sqlite::{Basis, Verdicts};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::spawn_blocking, time::Instant};

/// So old the proof may be that a scan begins with.
pub(super) const AT_FIRST: Duration = Duration::from_secs(60);
/// So old it may become while files are judged.
pub(super) const MEANWHILE: Duration = Duration::from_secs(300);
/// A scan that judged anything ends with a proof of its own.
pub(super) const AT_LAST: Duration = Duration::ZERO;
/// So soon a clamd that does not detect is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// Why nothing is known of what a clamd calls clean that does not detect.
pub(crate) const BLIND: &str = "clamd did not detect the test file (EICAR): what it calls clean is not known to be";

/// Whether clamd did not detect while this was scanned.
pub(crate) fn was_blind(scan: &MalwareScan) -> bool {
    scan.error.as_deref() == Some(BLIND)
}

/// What is known of whether clamd detects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// It was last found not to.
    pub(crate) is_blind: bool,
    /// So often it did again after it had not.
    pub(crate) regained: u64,
}

/// What an engine knows of it. Every canary counts, whoever sent it.
#[derive(Debug, Default)]
pub(super) struct Sights {
    proof: Mutex<Option<Proof>>,
    sight: watch::Sender<Sight>,
}

#[derive(Debug)]
struct Proof {
    of: Instance,
    basis: Basis,
    at: Instant,
}

impl Sights {
    /// Whether this clamd was found to detect by `basis`, within the last `within`.
    pub(super) fn is_proved(&self, of: &Instance, basis: &Basis, within: Duration) -> bool {
        let proof = self.lock();
        proof
            .as_ref()
            .is_some_and(|proof| proof.at.elapsed() < within && proof.basis == *basis && proof.of == *of)
    }

    /// It found the test file that was sent at `at`.
    pub(super) fn proved(&self, of: Instance, basis: Basis, at: Instant) {
        *self.lock() = Some(Proof { of, basis, at });
        self.saw(true);
    }

    /// A connection was lost: whoever answers the next one may be another.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// A test file was found, or was not.
    pub(super) fn saw(&self, is_found: bool) {
        if !is_found {
            self.forget();
        }
        self.sight.send_if_modified(|sight| {
            let is_news = sight.is_blind == is_found;
            sight.regained += u64::from(is_news && is_found);
            sight.is_blind = !is_found;
            is_news
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Proof>> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Whether clamd detects, as far as is known, and whenever that changes.
    pub(crate) fn sight(&self) -> watch::Receiver<Sight> {
        self.sights().sight.subscribe()
    }

    /// Somebody else has sent clamd a test file, and it was found.
    pub(crate) fn clamd_detects(&self) {
        self.sights().saw(true);
    }

    /// Somebody else has sent clamd a test file, and it was not found: what was judged by what it judges by now counts no
    /// more.
    pub(crate) async fn clamd_is_blind(&self) {
        self.sights().saw(false);
        let settings = self.settings();
        // What cannot be read as an endpoint is refused with the configuration.
        let Ok(endpoint) = settings.clamd.endpoint.parse::<Endpoint>() else {
            return;
        };
        match basis::now(&Daemon::new(endpoint), &settings.clamd).await {
            Ok((_, basis)) => {
                let engine = self.clone();
                distrust(move || engine.verdicts(), basis).await;
            }
            Err(error) => tracing::debug!(error = chain(&error), "clamd does not say by what it judges"),
        }
    }
}

/// What was judged by a basis that does not detect counts no more; `verdicts` may take its time to give what is remembered.
pub(super) async fn distrust(verdicts: impl FnOnce() -> Option<Verdicts> + Send + 'static, basis: Basis) {
    let work = move || verdicts().map_or(Ok(false), |verdicts| verdicts.distrust(&basis));
    match spawn_blocking(work).await {
        Ok(Ok(true)) => {
            tracing::warn!(at = %Utc::now(), "what was judged by the signatures that do not detect is forgotten, and judged again");
        }
        Ok(Ok(false)) => {}
        Ok(Err(error)) => not_distrusted(&chain(&error)),
        Err(error) => not_distrusted(&error.to_string()),
    }
}

fn not_distrusted(error: &str) {
    tracing::error!(
        error,
        "what was judged by signatures that do not detect cannot be forgotten: scan with `--fresh`"
    );
}
