//! `reef-agent run --once`: every rule once, whoever is to hear of it told, and an end. For cron.
use crate::{
    cli::JoinArgs,
    context::Context,
    membership,
    parts::Parts,
    rounds::{self, Made},
    run::{Assembled, assemble},
    webhook::Webhook,
};
use anyhow::Context as _;
use daemon_kit::{Exit, RuntimeSettings, Signals, blocking, to_stdout};
use fleet_link::agent::AgentOrders;
use std::{sync::Arc, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether anything waits for the webhook.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(context: Context, join: &JoinArgs) -> anyhow::Result<Exit> {
    daemon_kit::run(RuntimeSettings::of_command(), work(Arc::new(context), join))
}

async fn work(context: Arc<Context>, join: &JoinArgs) -> anyhow::Result<Exit> {
    let stop = CancellationToken::new();
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    anyhow::ensure!(
        !context.live().rules.is_empty(),
        "nothing to scan: no rule is configured (`rules`); `reef-agent scan PATH` scans without one"
    );
    let own = Arc::clone(&context);
    let state = Arc::new(blocking(move || own.own_state()).await?);
    let orders = AgentOrders::new(env!("CARGO_PKG_VERSION"), stop.clone());
    let Assembled {
        parts, desk, webhook, ..
    } = assemble(&context, state, orders)?;
    // Who the agent is must be settled before the scan: a wrong key or name should not be found out hours later.
    let link = membership::agent(&parts, join).establish().await?;
    let until_told = CancellationToken::new();
    let told = desk.run(Arc::clone(&parts.health) as _, until_told.clone());
    let posted = webhook.run(until_told.clone());
    let scans = scan_all(&parts, &webhook, &stop);
    tokio::pin!(scans, told, posted);
    let exit = loop {
        tokio::select! {
            exit = &mut scans => break exit?,
            told = &mut told => told?,
            () = &mut posted => {}
            signal = signals.next(), if !stop.is_cancelled() => {
                tracing::info!(%signal, "stopping; what was judged is kept");
                stop.cancel();
            }
        }
    };
    until_told.cancel();
    let is_told = match &link {
        Some(link) => link.finish(Some(parts.health.pulse()), &stop).await,
        None => true,
    };
    parts.health.agent.export_once(&stop).await;
    Ok(if is_told { exit } else { worse(exit, Exit::Partial) })
}

/// Every rule, the one of the highest priority first.
async fn scan_all(parts: &Parts, webhook: &Webhook, stop: &CancellationToken) -> anyhow::Result<Exit> {
    rounds::look_back(parts).await?;
    let live = parts.context.live();
    let mut rules: Vec<_> = live.rules.iter().collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    let mut exit = Exit::Done;
    for rule in rules {
        if stop.is_cancelled() {
            exit = worse(exit, Exit::Partial);
            break;
        }
        // Why it failed is in the log.
        exit = match rounds::make_once(parts, rule, stop).await? {
            Made::Report(report, _) => {
                if !parts.context.quiet {
                    to_stdout(format_args!("{}:\n{}", rule.name, report.text()))?;
                }
                worse(exit, report.exit())
            }
            Made::Failed(_) => worse(exit, Exit::Environment),
        };
    }
    parts.reporter.flushed().await;
    if !is_posted(webhook).await {
        tracing::warn!("detections wait for the webhook: the next run sends them");
        exit = worse(exit, Exit::Partial);
    }
    Ok(exit)
}

/// Waits until the webhook's receiver has taken what waits, or would not; whether it has.
async fn is_posted(webhook: &Webhook) -> bool {
    let mut status = webhook.status();
    while webhook.waiting().is_some_and(|waiting| waiting.records > 0) {
        if status.borrow_and_update().error.is_some() {
            return false;
        }
        // It is told before what was sent is out of the queue.
        let _ = time::timeout(LOOK, status.changed()).await;
    }
    true
}

/// Malware goes before what could not be done.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Partial => 1,
        Exit::Environment => 2,
        _ => 3,
    };
    if rank(one) >= rank(other) { one } else { other }
}
