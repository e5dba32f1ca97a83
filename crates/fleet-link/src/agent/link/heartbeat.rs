//! Heartbeats: how this agent is, and what the server asks for in its answer.
use super::{Connected, Membership};
use crate::{
    agent::{AgentConfig, Pulse},
    delivered,
};
use core_model::{Queue, QueueStats, chain};
use daemon_kit::{blocking, telemetry::process_sample};
use fleet_wire::{Delivered, Heartbeat};
use std::sync::atomic::Ordering;

impl<C: AgentConfig> Membership<C> {
    /// Gives whether the server still takes our key and has what we hold for delivered: a run with nothing to deliver has
    /// no other way to find out.
    pub(super) async fn heartbeat(&self, connected: &Connected, pulse: Option<Pulse>) -> bool {
        let heartbeat = self.how_it_is(pulse).await;
        let told = heartbeat.delivered;
        let memory = process_sample().map_or(0, |sample| sample.resident_bytes);
        let error = match connected.presence.heartbeat(&heartbeat, memory).await {
            Ok(answer) => {
                if answer.new_key_wanted {
                    self.wants_new_key();
                }
                if let Some(told) = told.filter(|_| answer.snapshot_wanted) {
                    self.want_snapshot(told.stream).await;
                }
                return !answer.snapshot_wanted && !self.went_back(answer.seen).await;
            }
            Err(error) => error,
        };
        let is_refused = matches!(error.status().map(|status| status.as_u16()), Some(401 | 403));
        if is_refused {
            tracing::error!(
                error = chain(&error),
                "the server does not take this agent's key or certificate: it was revoked or is another server's: \
                 stop it, run `{} leave --forget`, and start it with a join token, or without one to be claimed",
                self.agent.context.product.name
            );
        } else {
            tracing::warn!(error = chain(&error), "the server did not take the heartbeat");
        }
        !is_refused
    }

    /// How this agent is: by `pulse`, or as the product says now.
    pub(super) async fn how_it_is(&self, pulse: Option<Pulse>) -> Heartbeat {
        let agent = &self.agent;
        let pulse = pulse.unwrap_or_else(|| agent.hooks.pulse());
        let (stats, told) = self.look_at_the_outbox().await;
        Heartbeat {
            status: agent.health.status(pulse.reason.as_deref()).to_owned(),
            version: agent.context.product.version.to_owned(),
            last_scan_time: pulse.last_scan_time,
            files_processed: pulse.files,
            error_count: pulse.errors,
            outbox_records: stats.records,
            outbox_dropped: stats.dropped,
            outbox_damaged: stats.damaged,
            reason: agent.health.reason(pulse.reason),
            delivered: told,
            profile: Some(self.profile().await),
        }
    }

    /// The heartbeat of the end, and what it asks for: nobody comes after it who could do that.
    pub(super) async fn last_heartbeat(&self, connected: &Connected, pulse: Option<Pulse>) -> bool {
        let is_known = self.heartbeat(connected, pulse).await;
        if let Some(rotation) = &connected.rotation
            && let Err(error) = rotation.rotate_if_wanted().await
        {
            tracing::warn!(
                error = chain(&error),
                "the key could not be renewed: the agent goes on with the one it has"
            );
        }
        is_known
    }

    /// The controller wants this agent to have another key.
    pub(super) fn wants_new_key(&self) {
        let Some(connected) = &self.connected else { return };
        match &connected.rotation {
            Some(rotation) => rotation.want(),
            None if connected.is_key_fixed.swap(true, Ordering::Relaxed) => {}
            None => tracing::warn!(
                "the controller wants this agent to have another key, and its key is of the configuration: have it enrolled \
                 without `server.api_key`, by a join token or a claim"
            ),
        }
    }

    /// What waits in the outbox, and what of it the server has, as we were told.
    async fn look_at_the_outbox(&self) -> (QueueStats, Option<Delivered>) {
        let outbox = self.outbox().clone();
        let looked = blocking(move || Ok((outbox.stats()?, delivered(&outbox)?))).await;
        looked.unwrap_or_else(|error| {
            tracing::debug!(
                error = format!("{error:#}"),
                "the outbox could not be looked at for a heartbeat"
            );
            Default::default()
        })
    }
}
