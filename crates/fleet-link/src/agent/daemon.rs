//! The life of an agent that stays up: its state, its tasks under one supervisor, and its end or another start.
use super::{Agent, AgentConfig, AgentOrders, AgentProcess, AgentState, upkeep::upkeep};
use anyhow::Context as _;
use core_model::Backoff;
use daemon_kit::{Exit, Restart, RuntimeSettings, Signals, Supervisor, blocking, start_again};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// So long tasks get to end; systemd's own limit is 90 seconds.
const GRACE: Duration = Duration::from_secs(20);

const AGAIN: Restart = Restart::Backoff(Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
});

/// An agent that is to stay up, in the words of its product. Beside the product's tasks it has those of every agent:
/// `configuration`, `health`, `telemetry`, `link` and `upkeep`. What fails begins again, after a wait.
pub struct Daemon<C: AgentConfig> {
    agent: Agent<C>,
    tasks: Vec<Spawn>,
    is_up: Box<dyn FnOnce() + Send>,
    lost: &'static str,
}

type Spawn = Box<dyn FnOnce(&mut Supervisor) + Send>;

impl<C: AgentConfig> Daemon<C> {
    /// One without work so far. `is_up` is for the log, as soon as every task has begun; `lost` says there what becomes of
    /// tasks that had to be cut off in the end: it ends a sentence.
    pub fn new(agent: Agent<C>, is_up: impl FnOnce() + Send + 'static, lost: &'static str) -> Self {
        Self {
            agent,
            tasks: Vec::new(),
            is_up: Box::new(is_up),
            lost,
        }
    }

    /// With a task of the product's: `work` is begun with `parts` and a token that is cancelled when it has to stop, and
    /// again after it failed. One that ends well is done.
    #[must_use]
    pub fn task<P, F>(
        mut self,
        name: &'static str,
        parts: P,
        work: impl Fn(P, CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        P: Clone + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.push(Box::new(move |supervisor| {
            supervisor.spawn(name, AGAIN, move |stop| work(parts.clone(), stop));
        }));
        self
    }

    /// With the tasks of every agent.
    fn with_common(self, process: Arc<AgentProcess<C>>) -> Self {
        let parts = Arc::clone(self.agent.parts());
        let link = self.agent.clone();
        self.task("configuration", process, |process, stop| async move {
            Ok(process.reloader().run(stop).await?)
        })
        .task("health", Arc::clone(&parts), |parts, stop| async move {
            parts.health.serve(&parts.context, stop).await
        })
        .task("telemetry", Arc::clone(&parts), |parts, stop| async move {
            parts.health.export(stop).await
        })
        .task("link", link, |link, stop| async move { link.run(stop).await })
        .task("upkeep", parts, upkeep)
    }
}

/// Stays up until a signal comes or a controller ends it: opens the state, has the product say what it does with it, and
/// keeps its tasks at work. Where a controller wants the process started again, it is, in its own place. Blocks, and must
/// not be called by a task.
///
/// # Errors
/// When the state cannot be opened, the product's parts cannot be made, or the signals cannot be taken over; and where a
/// new start fails.
pub fn daemon<C: AgentConfig>(
    process: Arc<AgentProcess<C>>,
    assemble: impl FnOnce(Arc<AgentState>, AgentOrders) -> anyhow::Result<Daemon<C>>,
) -> anyhow::Result<Exit> {
    let supervisor = Supervisor::new(GRACE);
    let orders = AgentOrders::new(process.agent().product.version, supervisor.stop());
    let serve = serve(process, supervisor, |state| assemble(state, orders.clone()));
    // One does: what takes long blocks, and is done elsewhere.
    let settings = RuntimeSettings {
        workers: 1,
        ..RuntimeSettings::default()
    };
    let exit = daemon_kit::run(settings, serve)?;
    // Everything is closed and unlocked by now.
    if orders.wants_restart() {
        return Err(start_again());
    }
    Ok(exit)
}

async fn serve<C: AgentConfig>(
    process: Arc<AgentProcess<C>>,
    mut supervisor: Supervisor,
    assemble: impl FnOnce(Arc<AgentState>) -> anyhow::Result<Daemon<C>>,
) -> anyhow::Result<Exit> {
    // Taken first: checking or restoring a large state takes a while, and ends well when it is cut off.
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    let own = Arc::clone(&process);
    let state = tokio::select! {
        state = blocking(move || own.own_state()) => Arc::new(state?),
        signal = signals.next() => {
            tracing::info!(%signal, "stopping before everything had started");
            return Ok(Exit::Done);
        }
    };
    let daemon = assemble(state)?.with_common(process);
    let health = Arc::clone(&daemon.agent.parts().health);
    health.watch_tasks(&supervisor.states());
    for spawn in daemon.tasks {
        spawn(&mut supervisor);
    }
    health.ready();
    (daemon.is_up)();
    let stopped = supervisor.join(signals).await?;
    if !stopped.aborted.is_empty() {
        tracing::warn!(tasks = ?stopped.aborted, "ended without them; {}", daemon.lost);
    }
    Ok(Exit::Done)
}
