//! `reef-agent run`: stay up, scan when rules are due and files are written, tell; every task under one supervisor.
use crate::{
    cli::RunArgs,
    context::Context,
    health::Health,
    keeper::Keeper,
    keeping::{self, Followers},
    membership,
    news::{self, Desk, Teller},
    once,
    orders::Orders,
    parts::Parts,
    rounds,
    settings::NO_RULE,
    state::scans,
    watching,
    webhook::{Sender, Webhook},
};
use daemon_kit::Exit;
use fleet_link::agent::{AgentOrders, AgentState, Daemon, Linked, daemon};
use std::sync::Arc;
use tokio::sync::Notify;

pub(crate) fn run(context: Context, args: &RunArgs) -> anyhow::Result<Exit> {
    if args.once {
        return once::run(context, &args.join);
    }
    let (context, join) = (Arc::new(context), args.join.clone());
    daemon(Arc::clone(&context.process), move |state, orders| {
        let Assembled {
            parts,
            desk,
            keeper,
            followers,
            webhook,
        } = assemble(&context, state, orders)?;
        let agent = membership::agent(&parts, &join);
        let is_up = move || {
            let rules = context.live().rules.len();
            tracing::info!(rules, "reef-agent is up");
            if rules == 0 {
                tracing::warn!("{NO_RULE}");
            }
        };
        let heard = (desk, Arc::clone(&parts.health));
        let followed = (parts.clone(), followers);
        Ok(Daemon::new(agent, is_up, "what they had not stored is scanned again")
            .task("settings", followed, |(parts, followers), stop| {
                keeping::follow(parts, followers, stop)
            })
            .task("clamd", keeper, |keeper, stop| async move {
                keeper.run(stop).await;
                Ok(())
            })
            .task("sight", parts.clone(), keeping::sight)
            .task("signatures", parts.clone(), keeping::signatures)
            .task("detections", heard, |(desk, health), stop| async move {
                desk.run(health, stop).await
            })
            .task("webhook", webhook, |webhook, stop| async move {
                webhook.run(stop).await;
                Ok(())
            })
            .task("scan", parts.clone(), rounds::run)
            .task("watch", parts.clone(), watching::run)
            .task("catch up", parts, rounds::run_lost))
    })
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
    // The lock is held: whatever has begun and not ended has no process any more.
    if let Err(error) = scans::cut_off(&state.database) {
        tracing::error!(
            error = format!("{error:#}"),
            "scans that were cut off look as if they lasted"
        );
    }
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
