//! Heartbeats: how this agent is, and what the server asks for in its answer.
use super::{Connected, Link};
use crate::joining::VERSION;
use chrono::Utc;
use core_model::{Queue, QueueStats, chain};
use daemon_kit::blocking;
use fleet_link::delivered;
use fleet_wire::{Delivered, Heartbeat};
use fsscan::Summary;
use std::sync::atomic::Ordering;

impl Link {
    /// Gives whether the server still takes our key and has what we hold for delivered: a run with nothing to deliver has
    /// no other way to find out.
    pub(super) async fn heartbeat(&self, connected: &Connected, summary: Option<&Summary>) -> bool {
        let heartbeat = self.how_it_is(summary).await;
        let told = heartbeat.delivered;
        let memory = telemetry_otel::process_sample().map_or(0, |sample| sample.resident_bytes);
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
                 stop it, run `scanner leave --forget`, and start it with a join token, or without one to be claimed"
            );
        } else {
            tracing::warn!(error = chain(&error), "the server did not take the heartbeat");
        }
        !is_refused
    }

    /// How this agent is.
    pub(crate) async fn how_it_is(&self, summary: Option<&Summary>) -> Heartbeat {
        let last = self.health.last_scan();
        let errors = summary.map_or(last.errors, Summary::error_count);
        let (stats, told) = self.look_at_the_outbox().await;
        Heartbeat {
            status: self.health.heartbeat_status(errors).to_owned(),
            version: VERSION.to_owned(),
            last_scan_time: summary.map(|_| Utc::now()).or(last.ended_at),
            files_processed: summary.map_or(last.files, |summary| summary.files),
            error_count: errors,
            outbox_records: stats.records,
            outbox_dropped: stats.dropped,
            outbox_damaged: stats.damaged,
            reason: self.health.heartbeat_reason(errors),
            delivered: told,
            profile: Some(self.profile().await),
        }
    }

    /// The heartbeat of the end, and what it asks for: nobody comes after it who could do that.
    pub(super) async fn last_heartbeat(&self, connected: &Connected, summary: Option<&Summary>) -> bool {
        let is_known = self.heartbeat(connected, summary).await;
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
    pub(crate) fn wants_new_key(&self) {
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
        let outbox = self.outbox.clone();
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
