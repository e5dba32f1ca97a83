//! What of the configuration goes to those who apply it, at the start and whenever it changes.
use crate::settings::Live;
use core_model::Period;
use fleet_api::{LinkSettings, Links};
use fleet_core::{Fleet, FleetSettings, SqliteStore};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the fleet goes by.
pub(crate) fn of_fleet(live: &Live) -> FleetSettings {
    FleetSettings {
        offline_after: live.agents.offline_after.get(),
        session_life: live.auth.session.get(),
        claim_life: live.agents.claim_life.get(),
        kept_commands: live.agents.keep_commands.get(),
        kept_detections: live.retention.detections.get(),
        kept_scans: live.retention.scans.get(),
        rotate_keys_after: live.agents.rotate_keys_after.map(Period::get),
        remove_silent_after: live.agents.remove_silent_after.map(Period::get),
        agents_by_certificate: live.agents.by_certificate,
        ..FleetSettings::default()
    }
}

/// What the agent link goes by.
pub(crate) fn of_links(live: &Live) -> LinkSettings {
    let heartbeat = live.agents.heartbeat.get();
    LinkSettings {
        heartbeat,
        // Two heartbeats may be lost on the way.
        stale_after: heartbeat.saturating_mul(3),
        max_sockets: live.agents.max_links as usize,
        ..LinkSettings::default()
    }
}

/// Applies each change, until `stop`.
pub(crate) async fn follow(
    mut live: watch::Receiver<Arc<Live>>,
    fleet: Arc<Fleet<SqliteStore>>,
    links: Links,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        {
            let now = live.borrow_and_update();
            fleet.set(of_fleet(&now));
            links.set(of_links(&now));
        }
        match stop.run_until_cancelled(live.changed()).await {
            Some(Ok(())) => {}
            // Nobody is left who could change it.
            Some(Err(_)) => stop.cancelled().await,
            None => return Ok(()),
        }
    }
}
