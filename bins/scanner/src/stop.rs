//! Ending in order: the first signal asks, the second does not wait.
use anyhow::Context as _;
use daemon_kit::Signals;
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio_util::sync::CancellationToken;

/// What a signal sets: a flag for the scan, which blocks, and a token for what waits.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) flag: &'static AtomicBool,
    pub(crate) token: CancellationToken,
}

/// Takes SIGINT and SIGTERM over; a second signal ends the process at once. Every call gives the same.
pub(crate) fn on_signal() -> anyhow::Result<Stop> {
    static FLAG: AtomicBool = AtomicBool::new(false);
    static TOKEN: OnceLock<CancellationToken> = OnceLock::new();
    if let Some(token) = TOKEN.get() {
        return Ok(Stop {
            flag: &FLAG,
            token: token.clone(),
        });
    }
    let token = TOKEN.get_or_init(CancellationToken::new).clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not watch for signals")?;
    let asked = token.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            let mut signals = match Signals::take() {
                Ok(signals) => signals,
                Err(error) => return tracing::warn!(%error, "signals end this process at once"),
            };
            let signal = signals.next().await;
            tracing::info!(%signal, "stopping; what is found so far is kept");
            FLAG.store(true, Ordering::Relaxed);
            asked.cancel();
            std::process::exit(i32::from(signals.next().await.exit_code()));
        });
    });
    Ok(Stop { flag: &FLAG, token })
}
