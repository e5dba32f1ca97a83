//! reef-agent as an agent of a fleet: what it is there, and what the server hears of its work.
use crate::{cli::JoinArgs, health::Health, parts::Parts, settings::ReefConfig, state, verbs};
use fleet_link::{
    Refusal,
    agent::{Agent, AgentHooks, AgentParts, Product, Pulse},
};
use std::sync::Arc;

pub(crate) const PRODUCT: Product = Product {
    name: "reef-agent",
    prefix: "REEF",
    metrics: "reef",
    version: env!("CARGO_PKG_VERSION"),
    capabilities: &["malware"],
    port: 7601,
    components: &[state::COMPONENT],
};

/// The server's side of this agent.
pub(crate) fn agent(parts: &Parts, join: &JoinArgs) -> Agent<ReefConfig> {
    Agent::new(AgentParts {
        context: parts.context.agent().clone(),
        state: Arc::clone(&parts.state),
        health: Arc::clone(&parts.health.agent),
        hooks: Arc::new(Hooks(Arc::clone(&parts.health))),
        verbs: verbs::all(parts),
        document: None,
        linked: parts.linked.clone(),
        join_token_file: join.join_token_file.clone(),
    })
}

struct Hooks(Arc<Health>);

impl AgentHooks for Hooks {
    fn pulse(&self) -> Pulse {
        self.0.pulse()
    }

    fn rejected(&self, refusals: &[Refusal]) {
        self.0
            .agent
            .errors()
            .add(refusals.len() as u64, &[("error_type", "rejected")]);
        for refusal in refusals {
            tracing::error!(
                code = refusal.rejected.code,
                detail = refusal.rejected.detail,
                record = %String::from_utf8_lossy(&refusal.record),
                "the server does not take what it was told; it stays written down here (`reef-agent detections`)"
            );
        }
    }
}
