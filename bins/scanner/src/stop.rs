//! Ending in order: the first signal asks, the second does not wait.
use anyhow::Context as _;
use daemon_kit::Signals;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio_util::sync::CancellationToken;

/// What a signal sets: a flag for the scan, which blocks, and a token for what waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    pub(crate) flag: Arc<AtomicBool>,
    pub(crate) token: CancellationToken,
}

/// Takes SIGINT and SIGTERM over; a second signal ends the process at once. Every call gives the same.
pub(crate) fn on_signal() -> anyhow::Result<Stop> {
    static STOP: OnceLock<Stop> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    let stop = STOP.get_or_init(Stop::default).clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not watch for signals")?;
    let asked = stop.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            let mut signals = match Signals::take() {
                Ok(signals) => signals,
                Err(error) => return tracing::warn!(%error, "signals end this process at once"),
            };
            let signal = signals.next().await;
            tracing::info!(%signal, "stopping; what is found so far is kept");
            asked.flag.store(true, Ordering::Relaxed);
            asked.token.cancel();
            std::process::exit(i32::from(signals.next().await.exit_code()));
        });
    });
    Ok(stop)
}
