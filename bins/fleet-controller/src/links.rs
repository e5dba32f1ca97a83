//! The agent link while the controller serves: sockets looked after and sent away, commands ended in time, a word for
//! `/health` and `/metrics`.
use chrono::Utc;
use fleet_api::Links;
use fleet_core::{Fleet, SqliteStore};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use telemetry_otel::{Metrics, Reading};
use tokio::time;
use tokio_util::sync::CancellationToken;
use transport_http::Status;

/// How often it is looked which commands time has ended. An agent ends its own to the second; this is for those that are
/// away.
const END_EVERY: Duration = Duration::from_secs(5);

/// Looks after the sockets until `stop`, then sends all agents away.
pub(crate) async fn run(links: Links, fleet: Arc<Fleet<SqliteStore>>, stop: CancellationToken) -> anyhow::Result<()> {
    links.run(&fleet, stop).await;
    Ok(())
}

/// Ends what time has ended, until `stop`.
pub(crate) async fn end_commands(fleet: Arc<Fleet<SqliteStore>>, stop: CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(time::sleep(END_EVERY)).await.is_some() {
        match fleet.expire_commands(Utc::now()).await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(deliveries = ended, "commands ended by time"),
            // The store says once that it cannot be written, and `/health` for as long as that lasts.
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "overdue commands were not ended"
            ),
        }
    }
    Ok(())
}

/// The component `agent_link` of `/health`.
pub(crate) fn health(links: &Links) -> (Status, Map<String, Value>) {
    let (open, most) = (links.open(), links.settings().max_sockets);
    let mut block = Map::new();
    block.insert("open".to_owned(), open.into());
    block.insert("most".to_owned(), most.into());
    if open < most {
        return (Status::Healthy, block);
    }
    let detail = "no more agents are let in: raise `agents.max_links`";
    block.insert("detail".to_owned(), detail.into());
    (Status::Degraded, block)
}

/// Sockets as a measure.
pub(crate) fn observe(links: &Links, metrics: &Metrics) {
    let links = links.clone();
    let help = "Open sockets of agents.";
    metrics.observe_gauge("fleet_agent_links", help, move || [Reading::new(links.open() as f64)]);
}
