//! The server as this agent meets it: its answers to requests, delivery, the link.
use super::{AgentHealth, blocks::map};
use crate::{Delivery, DocumentStatus, EndpointStatus, LinkStatus};
use core_model::BreakerState;
use daemon_kit::telemetry::Reading;
use serde_json::{Map, Value, json};
use state_sqlite::Outbox;
use std::sync::{Arc, PoisonError};
use tokio::sync::watch;
use transport_http::{Client, ComponentHandle, Observer, Status};

impl AgentHealth {
    fn named(&self, name: &str) -> String {
        format!("{}_{name}", self.product.metrics)
    }

    /// Delivery has been going on: what was said of the time before enrolment is over.
    pub(in crate::agent) fn delivered(&self) {
        self.api.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Told of every request to the server.
    pub(in crate::agent) fn api_observer(&self) -> Observer {
        let requests = self
            .metrics
            .counter(self.named("api_requests_total"), "Requests to the server.");
        let retries = self.metrics.counter(
            self.named("api_retry_count_total"),
            "Repetitions of requests to the server.",
        );
        let seconds = self.metrics.histogram(
            self.named("api_request_duration_seconds"),
            "How long requests to the server take, repetitions included.",
            &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0],
        );
        let errors = self.errors.clone();
        Arc::new(move |observation| {
            if !observation.ok {
                errors.add(1, &[("error_type", "network")]);
            }
            let endpoint = endpoint(&observation.path);
            let status = if observation.ok { "success" } else { "failure" };
            requests.add(1, &[("endpoint", endpoint), ("status", status)]);
            retries.add(u64::from(observation.retries), &[("endpoint", endpoint)]);
            seconds.record(observation.duration.as_secs_f64(), &[("endpoint", endpoint)]);
        })
    }

    /// Shows the client's breaker and how delivery goes from now on.
    pub(in crate::agent) fn watch_delivery(&self, client: &Client, delivery: &Delivery<Outbox>) {
        let breaker = client.clone();
        self.metrics.observe_gauge(
            self.named("circuit_breaker_state"),
            "1 for the state that it is in.",
            move || {
                let state = breaker.stats().breaker;
                [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen]
                    .map(|other| Reading::new(f64::from(u8::from(other == state))).label("state", other.name()))
            },
        );
        let (client, status) = (client.clone(), delivery.status());
        self.registry.ask("api", move || {
            let delivery = status.borrow().clone();
            let breaker = client.stats().breaker;
            let status = match (&delivery.error, breaker) {
                (None, BreakerState::Closed) => Status::Healthy,
                _ => Status::Degraded,
            };
            let mut block = map(json!({
                "server": client.server(),
                "last_success": delivery.last_success,
                "circuit_breaker": breaker.name(),
                "records_sent": delivery.sent,
                "records_refused": delivery.rejected,
                "failures_in_a_row": delivery.failures,
            }));
            if let Some(error) = delivery.error {
                block.insert("last_error".to_owned(), error.into());
            }
            (status, block)
        });
    }

    /// The server cannot be used yet.
    pub(in crate::agent) fn api_failed(&self, why: &str) {
        self.api_component()
            .set(Status::Degraded, map(json!({"last_error": why})));
    }

    fn api_component(&self) -> ComponentHandle {
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        api.get_or_insert_with(|| self.registry.component("api")).clone()
    }

    /// Shows how it goes with what is asked of a server of the file-scanner document.
    pub(in crate::agent) fn watch_document(&self, document: watch::Receiver<DocumentStatus>) {
        self.registry.ask("link", move || asked(&document.borrow()));
    }

    /// Shows how the link to a fleet controller is.
    pub(in crate::agent) fn watch_link(&self, link: watch::Receiver<LinkStatus>) {
        self.registry.ask("link", move || linked(&link.borrow()));
    }
}

/// The component `link` of `/health`. The agent works on without its controller, so that being away is no fault of its.
fn linked(status: &LinkStatus) -> (Status, Map<String, Value>) {
    let connected = status.connected.as_ref();
    let block = map(json!({
        "connected": connected.is_some(),
        "transport": connected.map(|connected| connected.transport.name()),
        "since": connected.map(|connected| connected.since),
        "clock_skew_ms": connected.map(|connected| connected.clock_skew.num_milliseconds()),
        "last_error": status.error,
        "commands_waiting": status.waiting,
        "commands_running": status.running,
    }));
    (
        if status.unauthorized {
            Status::Degraded
        } else {
            Status::Healthy
        },
        block,
    )
}

/// The same where the server is one of the file-scanner document: what it was last asked for, and what came of that.
fn asked(status: &DocumentStatus) -> (Status, Map<String, Value>) {
    let endpoint = |endpoint: &EndpointStatus| json!({"answered_at": endpoint.answered_at, "is_absent": endpoint.is_absent, "last_error": endpoint.error});
    let block = map(json!({
        "transport": "files-v1",
        "config": endpoint(&status.config),
        "commands": endpoint(&status.commands),
        "commands_waiting": status.waiting,
        "commands_running": status.running,
    }));
    (Status::Healthy, block)
}

/// The endpoint of a request's path, without what differs from agent to agent.
fn endpoint(path: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "/api/v1/ingest",
        "/api/files/ingest",
        "/api/v1/agents/me/heartbeat",
        "/api/agents/heartbeat",
        "/api/agents/register",
    ];
    let known = KNOWN.into_iter().find(|known| path.starts_with(known));
    // As dashboards have it, which are made for one server.
    let known = known.and_then(|known| known.strip_prefix("/api"));
    // The agent's name stands in the middle of these.
    let asked = || match path.strip_prefix("/api/agents/")?.rsplit_once('/')?.1 {
        "config" => Some("/agents/config"),
        "commands" => Some("/agents/commands"),
        _ => None,
    };
    known.or_else(asked).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn an_endpoint_is_the_same_for_every_agent() {
        for (path, expected) in [
            ("/api/v1/ingest", "/v1/ingest"),
            ("/api/agents/web-1/config", "/agents/config"),
            ("/api/agents/web%201/commands", "/agents/commands"),
            ("/api/agents/heartbeat/config", "/agents/heartbeat"),
            ("/api/v1/claims", "other"),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }
}
