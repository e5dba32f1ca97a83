//! `reef-agent run`: stay up, scan when rules are due and files are written, tell; every task under one supervisor.
use crate::{
    cli::{JoinArgs, RunArgs},
    context::Context,
    health::Health,
    keeper::Keeper,
    keeping::{self, Followers},
    membership,
    news::{self, Desk, Teller},
    once,
    orders::Orders,
    parts::Parts,
    rounds, watching,
    webhook::{Sender, Webhook},
};
use anyhow::Context as _;
use core_model::Backoff;
use daemon_kit::{Exit, Restart, RuntimeSettings, Signals, Supervisor, blocking, start_again};
use fleet_link::agent::{AgentOrders, AgentState, Linked, upkeep};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// So long tasks get to end; systemd's own limit is 90 seconds.
const GRACE: Duration = Duration::from_secs(20);

const AGAIN: Restart = Restart::Backoff(Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
});

pub(crate) fn run(context: Context, args: &RunArgs) -> anyhow::Result<Exit> {
    if args.once {
        return once::run(context, &args.join);
    }
    let wants_restart = Arc::new(AtomicBool::new(false));
    let serve = serve(Arc::new(context), args.join.clone(), Arc::clone(&wants_restart));
    let exit = daemon_kit::run(RuntimeSettings::default(), serve)?;
    // Everything is closed and unlocked by now.
    if wants_restart.load(Ordering::Relaxed) {
        return Err(start_again());
    }
    Ok(exit)
}

async fn serve(context: Arc<Context>, join: JoinArgs, wants_restart: Arc<AtomicBool>) -> anyhow::Result<Exit> {
    // Taken first: checking or restoring a large state takes a while, and ends well when it is cut off.
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    let own = Arc::clone(&context);
    let state = tokio::select! {
        state = blocking(move || own.own_state()) => Arc::new(state?),
        signal = signals.next() => {
            tracing::info!(%signal, "stopping before everything had started");
            return Ok(Exit::Done);
        }
    };
    let mut agent = Supervisor::new(GRACE);
    let orders = AgentOrders::new(env!("CARGO_PKG_VERSION"), agent.stop());
    let assembled = assemble(&context, state, orders.clone())?;
    let health = Arc::clone(&assembled.parts.health);
    health.agent.watch_tasks(&agent.states());
    spawn(&mut agent, assembled, &join);
    health.agent.ready();
    tracing::info!(rules = context.live().rules.len(), "reef-agent is up");
    let stopped = agent.join(signals).await?;
    if !stopped.aborted.is_empty() {
        tracing::warn!(tasks = ?stopped.aborted, "ended without them; what they had not stored is scanned again");
    }
    wants_restart.store(orders.wants_restart(), Ordering::Relaxed);
    Ok(Exit::Done)
}

/// What is made for the tasks.
pub(crate) struct Assembled {
    pub(crate) parts: Parts,
    pub(crate) desk: Arc<Desk>,
    keeper: Arc<Keeper>,
    followers: Arc<Followers>,
    pub(crate) webhook: Webhook,
}

/// Everything that the tasks share, made.
pub(crate) fn assemble(
    context: &Arc<Context>,
    state: Arc<AgentState>,
    agent_orders: AgentOrders,
) -> anyhow::Result<Assembled> {
    let linked = Linked::default();
    let made = keeping::make(context)?;
    let agent = context.agent();
    let webhook = Webhook::new(
        &context.data_dir().join("webhook.db"),
        made.webhook,
        Sender {
            host: agent.hostname.clone(),
            agent_id: Some(agent.name.clone()),
        },
    );
    let health = Health::start(context, &state, &made.handle, webhook.clone())?;
    let (reporter, desk) = news::desk(Teller::new(&state.database, &state.outbox), linked.clone(), &state.file);
    let wake = Arc::<Notify>::default();
    let parts = Parts {
        context: Arc::clone(context),
        state,
        health: Arc::new(health),
        engine: made.engine,
        reporter,
        orders: Orders::new(Arc::clone(&wake)),
        agent_orders,
        linked,
        wake,
        keeper: made.handle,
        updater: made.updater,
    };
    Ok(Assembled {
        parts,
        desk: Arc::new(desk),
        keeper: Arc::new(made.keeper),
        followers: Arc::new(made.followers),
        webhook,
    })
}

fn spawn(agent: &mut Supervisor, assembled: Assembled, join: &JoinArgs) {
    let Assembled {
        parts,
        desk,
        keeper,
        followers,
        webhook,
    } = assembled;
    agent.spawn("configuration", AGAIN, {
        let context = Arc::clone(&parts.context);
        move |stop| {
            let context = Arc::clone(&context);
            async move { context.reloader().run(stop).await }
        }
    });
    agent.spawn("settings", AGAIN, {
        let parts = parts.clone();
        move |stop| keeping::follow(parts.clone(), Arc::clone(&followers), stop)
    });
    agent.spawn("health", AGAIN, {
        let parts = parts.clone();
        move |stop| {
            let parts = parts.clone();
            async move { parts.health.agent.serve(parts.context.agent(), stop).await }
        }
    });
    agent.spawn("telemetry", AGAIN, {
        let health = Arc::clone(&parts.health);
        move |stop| {
            let health = Arc::clone(&health);
            async move { health.agent.export(stop).await }
        }
    });
    agent.spawn("clamd", AGAIN, move |stop| {
        let keeper = Arc::clone(&keeper);
        async move {
            keeper.run(stop).await;
            anyhow::Ok(())
        }
    });
    agent.spawn("signatures", AGAIN, {
        let parts = parts.clone();
        move |stop| keeping::signatures(parts.clone(), stop)
    });
    agent.spawn("detections", AGAIN, {
        let health = Arc::clone(&parts.health);
        move |stop| {
            let (desk, health) = (Arc::clone(&desk), Arc::clone(&health));
            async move { desk.run(health, stop).await }
        }
    });
    agent.spawn("webhook", AGAIN, move |stop| {
        let webhook = webhook.clone();
        async move {
            webhook.run(stop).await;
            anyhow::Ok(())
        }
    });
    agent.spawn("link", AGAIN, {
        let link = membership::agent(&parts, join);
        move |stop| {
            let link = link.clone();
            async move { link.run(stop).await }
        }
    });
    agent.spawn("scan", AGAIN, {
        let parts = parts.clone();
        move |stop| rounds::run(parts.clone(), stop)
    });
    agent.spawn("watch", AGAIN, {
        let parts = parts.clone();
        move |stop| watching::run(parts.clone(), stop)
    });
    agent.spawn("catch up", AGAIN, {
        let parts = parts.clone();
        move |stop| rounds::run_lost(parts.clone(), stop)
    });
    agent.spawn("upkeep", AGAIN, move |stop| {
        let health = Arc::clone(&parts.health);
        upkeep(
            parts.context.agent().clone(),
            Arc::clone(&parts.state),
            Arc::clone(&parts.health.agent),
            move || health.has_scanned(),
            stop,
        )
    });
}
