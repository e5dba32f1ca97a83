//! What a controller can have every agent do: `stop`, `restart`.
use crate::{AfterRestartDecision, CommandContext, CommandError, InterruptedCommand, Verb, Verbs};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio_util::sync::CancellationToken;

/// What a controller can have every agent do: `stop` ends the work in hand, `restart` starts the process again. It can
/// name no path and no program. Clones are the same.
#[derive(Clone, Debug)]
pub struct AgentOrders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    version: &'static str,
    /// Cancelled when `stop` comes; one for each piece of work in hand.
    in_hand: Mutex<Vec<Arc<CancellationToken>>>,
    wants_restart: AtomicBool,
    stop_agent: CancellationToken,
}

/// A piece of work in hand, until it is dropped.
#[must_use = "the work is over when it is dropped"]
#[derive(Debug)]
pub struct Work {
    stop: Arc<CancellationToken>,
    orders: Weak<Inner>,
}

impl AgentOrders {
    /// `version` is the product's: what `restart` answers after it. `stop_agent` ends the agent.
    pub fn new(version: &'static str, stop_agent: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            version,
            in_hand: Mutex::default(),
            wants_restart: AtomicBool::new(false),
            stop_agent,
        }))
    }

    /// The two verbs; a product adds its own.
    pub fn verbs(&self) -> Verbs {
        let (stop, restart, version) = (self.clone(), self.clone(), self.0.version);
        let after_restart = move |interrupted: InterruptedCommand| {
            std::future::ready(if interrupted.is_same_process {
                AfterRestartDecision::Unknown
            } else {
                AfterRestartDecision::Done(json!({ "version": version }))
            })
        };
        Verbs::new()
            .with("stop", Verb::new(move |_, _| stop.clone().stop()).immediate())
            .with(
                "restart",
                Verb::new(move |_, context| restart.clone().restart(context)).after_restart(after_restart),
            )
    }

    /// Whether the agent ends in order to be started again: see [`daemon_kit::start_again`].
    pub fn wants_restart(&self) -> bool {
        self.0.wants_restart.load(Relaxed)
    }

    /// Work begins that `stop` ends.
    pub fn begin(&self) -> Work {
        let stop = Arc::new(CancellationToken::new());
        self.0.in_hand().push(Arc::clone(&stop));
        Work {
            stop,
            orders: Arc::downgrade(&self.0),
        }
    }

    /// Whether there is work in hand.
    pub fn is_working(&self) -> bool {
        !self.0.in_hand().is_empty()
    }

    async fn stop(self) -> Result<Value, CommandError> {
        let in_hand = self.0.in_hand().clone();
        in_hand.iter().for_each(|work| work.cancel());
        Ok(json!({"stopped": !in_hand.is_empty()}))
    }

    async fn restart(self, context: CommandContext) -> Result<Value, CommandError> {
        tracing::info!(command = %context.command, "restarting, as the controller asked");
        self.0.wants_restart.store(true, Relaxed);
        self.0.stop_agent.cancel();
        context.cancel.cancelled().await;
        Err(CommandError::cancelled())
    }
}

impl Inner {
    fn in_hand(&self) -> MutexGuard<'_, Vec<Arc<CancellationToken>>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Waits until the controller wants the work ended.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.upgrade() {
            orders.in_hand().retain(|stop| !Arc::ptr_eq(stop, &self.stop));
        }
    }
}
